//! Threads as JavaScript sees them, in the build that has shared memory: www/src/helpers.ts and www/src/helper.ts are the callers.

use wasm_bindgen::prelude::*;

use crate::threads::workers;

/// This module, for a helper to start on the same memory.
#[wasm_bindgen(js_name = ownModule)]
pub fn own_module() -> JsValue {
    wasm_bindgen::module()
}

/// The engine may count on so many helpers, which call [`help`] with the indices from 1.
#[wasm_bindgen(js_name = useHelpers)]
pub fn use_helpers(count: usize) {
    workers::use_helpers(count);
}

/// What a helper does: it does not come back.
#[wasm_bindgen]
pub fn help(index: usize) {
    workers::help(index);
}

/// A helper came back by a trap. It is the helper that calls this, so it takes nothing that has to be whole.
#[wasm_bindgen(js_name = helperBrokeDown)]
pub fn helper_broke_down() {
    workers::helper_broke_down();
}
