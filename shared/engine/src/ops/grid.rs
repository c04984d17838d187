//! Weights that lie on the steps of a quantized datatype: what `DequantizeLinear` made of signed bytes.

/// Signed bytes, and the scale of each output channel.
#[derive(Debug)]
pub(super) struct Grid {
    pub(super) steps: Vec<i8>,
    pub(super) scales: Vec<f32>,
}

/// How far a weight may lie from its step, in shares of the channel's greatest: the rounding of one product.
const TOLERANCE: f32 = 4e-7;

impl Grid {
    /// Finds the steps of weights `[channels, …]`; none where a channel's are no multiples of one scale from -127 to
    /// 127. The answer is exact whatever the scale was: a multiple of it does as well.
    pub(super) fn of(weights: &[f32], channels: usize) -> Option<Self> {
        let each = weights
            .len()
            .checked_div(channels)
            .filter(|&each| each > 0)?;
        let mut grid = Self {
            steps: Vec::with_capacity(weights.len()),
            scales: Vec::with_capacity(channels),
        };
        for weights in weights.chunks_exact(each) {
            let greatest = weights.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
            if !greatest.is_finite() {
                return None;
            }
            let lie_on = |scale: &f32| {
                let off = |x: &f32| ((x / scale).round() * scale - x).abs();
                greatest == 0.0 || weights.iter().all(|x| off(x) <= TOLERANCE * greatest)
            };
            // The greatest is a whole number of steps, most likely as many as the datatype has.
            let scale = (1..=127_u8)
                .rev()
                .map(|steps| greatest / f32::from(steps))
                .find(lie_on)?;
            let scale = if scale == 0.0 { 1.0 } else { scale };
            grid.steps
                .extend(weights.iter().map(|x| (x / scale).round() as i8));
            grid.scales.push(scale);
        }
        Some(grid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dequantized_weights_are_found_again() {
        let scales = [0.1, 0.037, 12.5];
        let steps: Vec<i8> = (0..300).map(|at| (at * 37 % 255 - 127) as i8).collect();
        let weights = |at: usize| f32::from(steps[at]) * scales[at / 100];
        let weights: Vec<f32> = (0..300).map(weights).collect();
        let grid = Grid::of(&weights, 3).expect("a grid");
        for (at, weight) in weights.iter().enumerate() {
            let again = f32::from(grid.steps[at]) * grid.scales[at / 100];
            assert!(
                (again - weight).abs() <= 1e-6 * weight.abs(),
                "{again} {weight}"
            );
        }
    }

    #[test]
    fn other_weights_are_left() {
        let weights: Vec<f32> = (0..100).map(|at| (at as f32).sin()).collect();
        assert!(Grid::of(&weights, 2).is_none());
        assert!(Grid::of(&[f32::NAN, 1.0], 1).is_none());
        assert!(Grid::of(&[], 0).is_none());
        let zeros = Grid::of(&[0.0; 4], 2).expect("a grid");
        assert_eq!(zeros.steps, [0; 4]);
    }
}
