//! Means and how sure they are: the bootstrap (Efron 1979), percentiles of the means of samples drawn with replacement.
//!
//! All strategies are resampled with the same lines, so that the interval of a difference is that of paired measurements.

use fastrand::Rng;
use serde::Serialize;

/// A mean and the interval that covers it in 95 of 100 cases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
}

/// The mean of some values, and the means of its resamples.
#[derive(Debug, Clone)]
pub struct Estimate {
    mean: f64,
    resampled: Vec<f64>,
}

impl Estimate {
    /// One for each of several rows of the same length, one value to a line.
    pub fn of_rows(rows: &[Vec<f64>], resamples: usize, seed: u64) -> Vec<Estimate> {
        let count = rows.first().map_or(0, Vec::len);
        let mut estimates: Vec<Estimate> = rows
            .iter()
            .map(|row| Estimate { mean: mean(row), resampled: Vec::with_capacity(resamples) })
            .collect();
        let mut random = Rng::with_seed(seed);
        let mut drawn = vec![0; count];
        for _ in 0..resamples {
            drawn.iter_mut().for_each(|line| *line = random.usize(..count));
            for (row, estimate) in rows.iter().zip(&mut estimates) {
                let sum: f64 = drawn.iter().map(|line| row[*line]).sum();
                estimate.resampled.push(sum / count as f64);
            }
        }
        estimates
    }

    /// The mean of several, each as heavy as the others.
    pub fn mean_of(estimates: &[&Estimate]) -> Estimate {
        let count = estimates.len() as f64;
        let resamples = estimates.first().map_or(0, |estimate| estimate.resampled.len());
        let at =
            |index: usize| estimates.iter().map(|estimate| estimate.resampled[index]).sum::<f64>() / count;
        Estimate {
            mean: estimates.iter().map(|estimate| estimate.mean).sum::<f64>() / count,
            resampled: (0..resamples).map(at).collect(),
        }
    }

    /// How much this is above another that was resampled with the same lines.
    pub fn minus(&self, other: &Estimate) -> Estimate {
        let resampled = self.resampled.iter().zip(&other.resampled).map(|(a, b)| a - b).collect();
        Estimate { mean: self.mean - other.mean, resampled }
    }

    /// The mean and its interval.
    pub fn interval(&self) -> Interval {
        let mut sorted = self.resampled.clone();
        sorted.sort_by(f64::total_cmp);
        let percentile = |share: f64| match sorted.len() {
            0 => self.mean,
            count => sorted[((count - 1) as f64 * share).round() as usize],
        };
        Interval { mean: self.mean, low: percentile(0.025), high: percentile(0.975) }
    }
}

/// The mean; 0 of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The entropy of shares that sum to 1, in bits.
pub fn entropy_bits(shares: impl Iterator<Item = f64>) -> f64 {
    shares.filter(|share| *share > 0.0).map(|share| -share * share.log2()).sum::<f64>().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of n Bernoulli trials with mean p the interval is near p ± 1.96 sqrt(p (1 − p) / n).
    #[test]
    fn the_interval_is_that_of_the_normal_approximation() {
        let row: Vec<f64> = (0..400).map(|line| f64::from(line % 4 == 0)).collect();
        let interval = Estimate::of_rows(&[row], 4000, 1)[0].interval();
        let half = 1.96 * (0.25f64 * 0.75 / 400.0).sqrt();
        assert_eq!(interval.mean, 0.25);
        assert!((interval.low - (0.25 - half)).abs() < 0.006, "{interval:?}");
        assert!((interval.high - (0.25 + half)).abs() < 0.006, "{interval:?}");
    }

    /// Two that are wrong on the same lines but one differ surely, however wide their own intervals are.
    #[test]
    fn differences_are_paired() {
        let a: Vec<f64> = (0..100).map(|line| f64::from(line % 2)).collect();
        let b: Vec<f64> = a.iter().enumerate().map(|(line, a)| if line < 20 { 1.0 } else { *a }).collect();
        let estimates = Estimate::of_rows(&[a, b], 2000, 1);
        let [own, difference] = [estimates[1].interval(), estimates[1].minus(&estimates[0]).interval()];
        assert!(difference.high - difference.low < own.high - own.low, "{own:?} {difference:?}");
        assert!(difference.low > 0.0);
        assert_eq!(estimates[0].minus(&estimates[0]).interval(), Interval { mean: 0.0, low: 0.0, high: 0.0 });
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let row: Vec<f64> = (0..50).map(|line| f64::from(line % 3 == 0)).collect();
        let of = |seed| Estimate::of_rows(std::slice::from_ref(&row), 100, seed)[0].interval();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }
}
