//! Figures of a forecast: how far it is from what came, beside a forecast that takes no thought.

use serde::Serialize;

use super::Interval;

/// What was foretold, what came, and what the season before would have said; as it was measured.
#[derive(Debug, Clone)]
pub struct Forecasts {
    /// `[windows × steps]`, as are the others.
    pub foretold: Vec<f64>,
    /// What came.
    pub came: Vec<f64>,
    /// The naive forecast.
    pub naive: Vec<f64>,
    /// Steps of a window.
    pub steps: usize,
    /// The mean distance of a value from that a season before, in the training part.
    pub seasonal: f64,
}

/// Everything that is measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForecastMetrics {
    /// How many windows.
    pub count: usize,
    /// Mean absolute error.
    pub mae: f64,
    /// Its interval, over windows.
    pub mae_interval: Interval,
    /// Root of the mean squared error.
    pub rmse: f64,
    /// Its interval.
    pub rmse_interval: Interval,
    /// The mean absolute error, divided by that of the seasonal naive forecast in the training part
    /// (Hyndman and Koehler, "Another look at measures of forecast accuracy", 2006).
    pub mase: f64,
    /// Its interval.
    pub mase_interval: Interval,
    /// Mean absolute error of the naive forecast, on the same windows.
    pub naive_mae: f64,
    /// Root of the mean squared error of the naive forecast.
    pub naive_rmse: f64,
    /// The mean absolute error, divided by that of the naive forecast on the same windows.
    pub mae_to_naive: f64,
    /// Mean absolute error of each step.
    pub mae_by_step: Vec<f64>,
    /// The same of the naive forecast.
    pub naive_mae_by_step: Vec<f64>,
}

impl Forecasts {
    /// These windows, in this order, each as often as its place is there.
    #[must_use]
    pub(super) fn pick(&self, windows: &[usize]) -> Self {
        let of = |values: &[f64]| {
            let window = |&at: &usize| &values[at * self.steps..(at + 1) * self.steps];
            windows.iter().flat_map(window).copied().collect()
        };
        Self {
            foretold: of(&self.foretold),
            came: of(&self.came),
            naive: of(&self.naive),
            ..*self
        }
    }

    /// The figures, by their names.
    pub fn figures(&self) -> [(&'static str, f64); 5] {
        let errors = distances(&self.foretold, &self.came);
        let mae = mean(errors.iter().copied());
        let naive_mae = mean(distances(&self.naive, &self.came).into_iter());
        [
            ("mae", mae),
            (
                "rmse",
                mean(errors.iter().map(|error| error * error)).sqrt(),
            ),
            ("mase", mae / self.divisor()),
            ("naive_mae", naive_mae),
            (
                "mae_to_naive",
                if naive_mae > 0.0 {
                    mae / naive_mae
                } else {
                    f64::INFINITY
                },
            ),
        ]
    }

    /// The mean error of each window, each step's to this power.
    pub(super) fn of_windows(&self, power: i32) -> Vec<f64> {
        let errors = distances(&self.foretold, &self.came);
        let windows = errors.chunks(self.steps);
        windows
            .map(|errors| mean(errors.iter().map(|error| error.powi(power))))
            .collect()
    }

    /// A series that repeats itself exactly leaves nothing to compare with.
    fn divisor(&self) -> f64 {
        if self.seasonal > 0.0 {
            self.seasonal
        } else {
            f64::INFINITY
        }
    }

    /// Measures.
    ///
    /// # Panics
    /// If there are no windows.
    pub fn measure(&self) -> ForecastMetrics {
        let [mae, rmse, scaled, naive_mae, mae_to_naive] = self.figures().map(|(_, value)| value);
        let errors = distances(&self.foretold, &self.came);
        let naive = distances(&self.naive, &self.came);
        let by_step = |errors: &[f64]| {
            (0..self.steps)
                .map(|step| mean(errors.iter().skip(step).step_by(self.steps).copied()))
                .collect()
        };
        let mae_interval = Interval::of_mean(&self.of_windows(1));
        let squared = Interval::of_mean(&self.of_windows(2));
        ForecastMetrics {
            count: errors.len() / self.steps,
            mae,
            mae_interval,
            rmse,
            rmse_interval: squared.map(f64::sqrt),
            mase: scaled,
            mase_interval: mae_interval.map(|mae| mae / self.divisor()),
            naive_mae,
            naive_rmse: mean(naive.iter().map(|error| error * error)).sqrt(),
            mae_to_naive,
            mae_by_step: by_step(&errors),
            naive_mae_by_step: by_step(&naive),
        }
    }
}

fn distances(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter()
        .zip(other)
        .map(|(one, other)| (one - other).abs())
        .collect()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| {
        (sum + value, count + 1)
    });
    sum / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_by_hand() {
        let metrics = Forecasts {
            foretold: vec![1.0, 2.0, 3.0, 6.0],
            came: vec![1.0, 3.0, 5.0, 5.0],
            naive: vec![0.0, 1.0, 5.0, 9.0],
            steps: 2,
            seasonal: 2.0,
        }
        .measure();
        let close = |name: &str, got: f64, want: f64| {
            assert!((got - want).abs() < 1e-9, "{name}: {got}, not {want}");
        };
        assert_eq!(metrics.count, 2);
        close("mae", metrics.mae, 1.0);
        close("rmse", metrics.rmse, 1.5_f64.sqrt());
        close("mase", metrics.mase, 0.5);
        close("naive", metrics.naive_mae, 7.0 / 4.0);
        close("to naive", metrics.mae_to_naive, 4.0 / 7.0);
        close("first step", metrics.mae_by_step[0], 1.0);
        close("second step of naive", metrics.naive_mae_by_step[1], 3.0);
        assert!(metrics.mae_interval.low <= 1.0 && metrics.mae_interval.high >= 1.0);
    }
}
