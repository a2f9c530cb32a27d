//! Maps, as small as a page wants them.

use std::collections::BTreeMap;

/// As `collect` makes it, but one by one: that sorts first, and brings a sort for each kind of map into WebAssembly.
pub fn map_of<K: Ord, V>(pairs: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    map.extend(pairs);
    map
}
