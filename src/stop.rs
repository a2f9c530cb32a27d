//! Stop strings in streamed text.

/// Lets text through until a stop string appears, and holds back what could still become one.
pub struct StopFilter {
    stops: Vec<String>,
    held: String,
    stopped: bool,
}

impl StopFilter {
    /// A filter for the given strings. Empty ones are ignored.
    pub fn new(stops: Vec<String>) -> Self {
        let stops = stops.into_iter().filter(|stop| !stop.is_empty()).collect();
        StopFilter { stops, held: String::new(), stopped: false }
    }

    /// Whether a stop string has appeared.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// Takes new text and returns what is now certain to lie before any stop string.
    pub fn push(&mut self, text: &str) -> String {
        if self.stopped {
            return String::new();
        }
        self.held.push_str(text);
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop)).min() {
            self.stopped = true;
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let held = &self.held;
        let may_continue = |at: &usize| self.stops.iter().any(|stop| stop.starts_with(&held[*at..]));
        let certain = held.char_indices().map(|(at, _)| at).find(may_continue).unwrap_or(held.len());
        self.held.drain(..certain).collect()
    }

    /// The text still held back, once no more can come.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut filter = StopFilter::new(stops.iter().map(|stop| stop.to_string()).collect());
        let mut text: String = pieces.iter().map(|piece| filter.push(piece)).collect();
        text.push_str(&filter.finish());
        (text, filter.stopped())
    }

    #[test]
    fn a_stop_string_across_pieces_ends_the_text_before_it() {
        assert_eq!(run(&["END"], &["one E", "N", "D two"]), ("one ".into(), true));
    }

    #[test]
    fn what_only_began_like_a_stop_string_is_returned() {
        assert_eq!(run(&["END"], &["one E", "N", "C two EN"]), ("one ENC two EN".into(), false));
    }

    #[test]
    fn the_earliest_of_several_wins_and_characters_stay_whole() {
        assert_eq!(run(&["。", "x", ""], &["日本", "語。", "x"]), ("日本語".into(), true));
    }

    #[test]
    fn nothing_is_held_back_without_need() {
        let mut filter = StopFilter::new(vec!["##".into()]);
        assert_eq!(filter.push("a#b#"), "a#b");
        assert_eq!(filter.push("c"), "#c");
    }
}
