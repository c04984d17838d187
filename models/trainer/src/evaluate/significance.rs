//! Whether a gain on the test part is more than chance.

use rand::seq::index;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// How often the examples are drawn again.
const DRAWS: usize = 2000;

/// The least p that so many draws can tell from others.
pub(super) const LEAST: f64 = 0.001;

/// The share of draws without a gain, by the paired bootstrap (Koehn, "Statistical Significance Tests
/// for Machine Translation Evaluation", 2004): as many test examples as there are, drawn with
/// replacement, the same ones for both sides of the gain; from a fixed seed. It is never 0: the test part
/// itself counts as a draw (Davison and Hinkley, "Bootstrap Methods and their Application", 1997).
pub(super) fn p(examples: usize, gain: impl Fn(&[usize]) -> f64 + Sync) -> f64 {
    let draw = |number: usize| {
        let mut random = random(number);
        let places = (0..examples).map(|_| random.random_range(0..examples));
        gain(&places.collect::<Vec<_>>())
    };
    // What is no number is no gain either.
    let gained = |gain: &f64| *gain > 0.0;
    let gains = (0..DRAWS).into_par_iter().map(draw).filter(gained).count();
    (DRAWS - gains + 1) as f64 / (DRAWS + 1) as f64
}

/// The share of samples of so many values, all different ones, whose sum is as large as this one: how often
/// chance alone gives a part such values (a permutation test; Fisher, "The Design of Experiments", 1935).
pub(super) fn as_large(values: &[f64], count: usize, sum: f64) -> f64 {
    // Sums in another order differ a little.
    let least = sum - 1e-9 * sum.abs();
    let sample = |number: usize| {
        let places = index::sample(&mut random(number), values.len(), count);
        places.into_iter().map(|place| values[place]).sum::<f64>()
    };
    let samples = (0..DRAWS).into_par_iter().map(sample);
    let as_large = samples.filter(|sample| *sample >= least).count();
    (as_large + 1) as f64 / (DRAWS + 1) as f64
}

fn random(draw: usize) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    random.set_stream(draw as u64);
    random
}
