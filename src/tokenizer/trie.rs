//! Which of many strings a text begins with.

/// A set of byte strings, each with a number, as a tree of bytes.
///
/// Nodes lie in breadth-first order, so the children of a node are neighbours and a range is all that a node needs:
/// nine bytes a node, about 1 MB for T5's vocabulary, built by one sort.
#[derive(Debug, Default)]
pub(super) struct Trie {
    /// (nodes + 1): the children of node `n` are `first_child[n]..first_child[n + 1]`
    first_child: Vec<u32>,
    /// (nodes): the byte that leads to the node; ascending among siblings
    label: Vec<u8>,
    /// (nodes): the number of the string that ends here, or [`NONE`]
    value: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Trie {
    /// The trie of these strings. Empty strings are left out; of equal strings the first counts.
    pub fn new<'a>(strings: impl IntoIterator<Item = (&'a str, u32)>) -> Self {
        let mut strings: Vec<(&str, u32)> =
            strings.into_iter().filter(|(text, _)| !text.is_empty()).collect();
        strings.sort_unstable();
        strings.dedup_by(|later, first| later.0 == first.0);
        // Each level of the tree passes over all keys in order; side by side in memory that is three times as fast.
        let joined: String = strings.iter().map(|(text, _)| *text).collect();
        let mut rest = joined.as_bytes();
        let mut keys = Vec::with_capacity(strings.len());
        for (text, value) in &strings {
            let (key, behind) = rest.split_at(text.len());
            keys.push((key, *value));
            rest = behind;
        }

        let mut trie = Trie { first_child: Vec::new(), label: vec![0], value: Vec::new() };
        // One entry per node: the keys that pass through it, and how many bytes they have behind them.
        let mut passing = vec![(0, keys.len(), 0)];
        let mut node = 0;
        while let Some(&(mut start, end, depth)) = passing.get(node) {
            let ends_here = start < end && keys[start].0.len() == depth;
            trie.value.push(if ends_here { keys[start].1 } else { NONE });
            trie.first_child.push(trie.label.len() as u32);
            if ends_here {
                start += 1;
            }
            while start < end {
                let byte = keys[start].0[depth];
                let next = start + keys[start..end].partition_point(|(key, _)| key[depth] == byte);
                trie.label.push(byte);
                passing.push((start, next, depth + 1));
                start = next;
            }
            node += 1;
        }
        trie.first_child.push(trie.label.len() as u32);
        trie
    }

    pub fn is_empty(&self) -> bool {
        self.label.len() <= 1
    }

    /// Every string that `text` begins with, shortest first: its length and number.
    pub fn prefixes<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = (usize, u32)> + 'a {
        let mut node = 0;
        let mut length = 0;
        std::iter::from_fn(move || {
            while let Some(&byte) = text.get(length) {
                let children = self.first_child[node] as usize..self.first_child[node + 1] as usize;
                let child = self.label[children.clone()].binary_search(&byte).ok()?;
                node = children.start + child;
                length += 1;
                if self.value[node] != NONE {
                    return Some((length, self.value[node]));
                }
            }
            None
        })
    }

    /// The longest string that `text` begins with.
    pub fn longest(&self, text: &[u8]) -> Option<(usize, u32)> {
        if self.is_empty() { None } else { self.prefixes(text).last() }
    }

    /// The number of exactly this string.
    pub fn get(&self, text: &str) -> Option<u32> {
        self.longest(text.as_bytes()).filter(|(length, _)| *length == text.len()).map(|(_, value)| value)
    }

    /// The first string of the set in `text` from byte `from` on, the longest if several start there: start, end, number.
    pub fn find(&self, text: &str, from: usize) -> Option<(usize, usize, u32)> {
        if self.is_empty() {
            return None;
        }
        text[from..].char_indices().find_map(|(at, _)| {
            let start = from + at;
            self.longest(&text.as_bytes()[start..]).map(|(length, value)| (start, start + length, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefixes_of_a_text_come_shortest_first() {
        let trie = Trie::new([("abc", 3), ("a", 1), ("b", 2), ("", 9), ("abcd", 4), ("a", 7)]);
        assert_eq!(trie.prefixes(b"abcx").collect::<Vec<_>>(), [(1, 1), (3, 3)]);
        assert_eq!(trie.longest(b"abcde"), Some((4, 4)));
        assert_eq!(trie.get("abc"), Some(3));
        assert_eq!(trie.get("ab"), None);
        assert_eq!(Trie::new([]).longest(b"a"), None);
    }

    #[test]
    fn the_leftmost_and_longest_is_found() {
        let trie = Trie::new([("<1>", 1), ("<1>>", 2)]);
        assert_eq!(trie.find("é<1>é<1>>", 0), Some((2, 5, 1)));
        assert_eq!(trie.find("é<1>é<1>>", 5), Some((7, 11, 2)));
        assert_eq!(trie.find("é<1>é<1>>", 11), None);
    }
}
