//! What is known of the machine, to estimate energy and cost.

use clap::Args;

use crate::fit::Spent;

/// What a machine takes, in watts and in money.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Energy and cost")]
pub(crate) struct CostArgs {
    /// Watts that a busy core takes; the default is that of Green Algorithms for a processor that is not known
    // Lannelongue, Grealey and Inouye, "Green Algorithms: Quantifying the Carbon Footprint of Computation",
    // 2021; TDP_cpu.csv of their tool, "Any".
    #[arg(long, value_name = "WATTS", default_value_t = 12.0, value_parser = positive)]
    watts: f64,
    /// Watts that the GPU takes; the energy of training on one is estimated only if this is given
    #[arg(long, value_name = "WATTS", value_parser = positive)]
    gpu_watts: Option<f64>,
    /// What an hour on this machine costs, in any currency
    #[arg(long, value_name = "PRICE", env = "DUNLIN_PRICE_PER_HOUR", value_parser = positive)]
    price_per_hour: Option<f64>,
}

impl CostArgs {
    /// Watt hours of the processor and, where it is one that computes, of the GPU; `None` where one of them is
    /// not known.
    pub(crate) fn energy_wh(&self, device: &str, spent: &Spent) -> Option<f64> {
        let on_gpu = !matches!(device, "cpu" | "wgpu-cpu");
        let gpu = if on_gpu { self.gpu_watts? } else { 0.0 };
        let processor = spent.processor_seconds;
        (processor > 0.0).then(|| (processor * self.watts + spent.seconds * gpu) / 3600.0)
    }

    /// The price of the training's time, if that of an hour is known.
    pub(crate) fn cost(&self, spent: &Spent) -> Option<f64> {
        Some(self.price_per_hour? * spent.seconds / 3600.0)
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    number
        .filter(|number: &f64| *number >= 0.0 && number.is_finite())
        .ok_or_else(|| "a number of 0 or more is needed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_estimated() {
        let spent = Spent {
            seconds: 1800.0,
            processor_seconds: 3600.0,
        };
        let mut args = CostArgs {
            watts: 12.0,
            gpu_watts: None,
            price_per_hour: None,
        };
        assert_eq!(args.energy_wh("cpu", &spent), Some(12.0));
        assert_eq!(args.energy_wh("cuda", &spent), None);
        assert_eq!(args.energy_wh("cpu", &Spent::default()), None);
        assert_eq!(args.cost(&spent), None);
        (args.gpu_watts, args.price_per_hour) = (Some(300.0), Some(3.0));
        assert_eq!(args.energy_wh("cuda", &spent), Some(162.0));
        assert_eq!(args.cost(&spent), Some(1.5));
    }
}
