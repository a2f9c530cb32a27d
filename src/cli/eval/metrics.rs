//! How good an answer is, from 0 to 1. Of several targets the one that fits best counts.

/// 1 where the answer is a target, but for white space at its ends.
pub fn exact_match(answer: &str, targets: &[String]) -> f64 {
    f64::from(u8::from(targets.iter().any(|target| target.trim() == answer.trim())))
}

/// The share of places that have the same token in the answer and the target: matches / the longer one's length. The end token
/// counts, so that going on too long costs.
pub fn token_accuracy(answer: &[u32], targets: &[Vec<u32>]) -> f64 {
    best(targets.iter().map(|target| {
        let same = answer.iter().zip(target).filter(|(a, b)| a == b).count();
        same as f64 / answer.len().max(target.len()).max(1) as f64
    }))
}

/// ROUGE-L: the F1 of the longest common subsequence of words.
///
/// Words are runs of letters and digits in lower case, as in `rouge-score`, Google's reference, without its stemmer.
/// Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", section 3.
pub fn rouge_l(answer: &str, targets: &[String]) -> f64 {
    let answer = words(answer);
    best(targets.iter().map(|target| {
        let target = words(target);
        let common = longest_common_subsequence(&answer, &target) as f64;
        match common {
            0.0 => f64::from(u8::from(answer.is_empty() && target.is_empty())),
            common => 2.0 * common / (answer.len() + target.len()) as f64,
        }
    }))
}

fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

fn longest_common_subsequence(a: &[String], b: &[String]) -> usize {
    let mut lengths = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (at, y) in b.iter().enumerate() {
            let above = lengths[at + 1];
            lengths[at + 1] = if x == y { diagonal + 1 } else { above.max(lengths[at]) };
            diagonal = above;
        }
    }
    lengths[b.len()]
}

fn best(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| text.to_string()).collect()
    }

    #[test]
    fn white_space_at_the_ends_does_not_count() {
        assert_eq!(exact_match(" 12:30\n", &texts(&["no", "12:30"])), 1.0);
        assert_eq!(exact_match("12:30 ", &texts(&["12: 30"])), 0.0);
    }

    #[test]
    fn tokens_are_compared_place_by_place_over_the_longer_one() {
        assert_eq!(token_accuracy(&[5, 6, 1], &[vec![5, 6, 1]]), 1.0);
        assert_eq!(token_accuracy(&[5, 7, 1], &[vec![5, 6, 8, 1]]), 0.25);
        assert_eq!(token_accuracy(&[5, 6], &[vec![9], vec![5, 6, 1]]), 2.0 / 3.0);
    }

    /// Worked by hand from the definition; the first is the example of Lin's paper, with β = 1.
    #[test]
    fn rouge_l_is_the_f1_of_the_longest_common_subsequence() {
        let reference = texts(&["police killed the gunman"]);
        assert_eq!(rouge_l("police kill the gunman", &reference), 0.75);
        assert_eq!(rouge_l("the gunman kill police", &reference), 0.5);
        assert_eq!(rouge_l("The GUNMAN, police!", &reference), 2.0 * 2.0 / 7.0);
        assert_eq!(rouge_l("", &reference), 0.0);
        assert_eq!(rouge_l("...", &texts(&["!"])), 1.0);
    }
}
