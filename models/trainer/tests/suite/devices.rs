//! The same runs on the processor and on a graphics device: Debian's software adapter (`mesa-vulkan-drivers`) will do.

use crate::trainer::Trainer;
use crate::{labelled, series, texts};

/// Sums in another order: losses agree to some 1e-7 of their size; more steps would let that grow.
const TOLERANCE: f64 = 1e-5;

/// Training and validation loss of each epoch.
fn losses(trainer: &Trainer, recipe: &str, device: &str) -> Vec<f64> {
    let rest = "--epochs 2 --batch 16 --width 4 --seed 7";
    let run = [
        "--device",
        device,
        "--run",
        device,
        "--output",
        device,
        "--workers",
        "1",
    ];
    let options = recipe.split(' ').chain(rest.split(' ')).chain(run);
    trainer.run(&options.collect::<Vec<_>>(), 0);
    let report = trainer.report(device);
    assert_eq!(report["device"], device);
    let epochs = report["history"].as_array().unwrap().iter();
    let both = epochs.flat_map(|epoch| [&epoch["train"], &epoch["valid"]]);
    both.map(|score| score["loss"].as_f64().unwrap()).collect()
}

#[test]
fn a_graphics_device_learns_what_the_processor_learns() {
    let device = std::env::var("DUNLIN_TEST_DEVICE").unwrap_or_else(|_| "wgpu-cpu".to_owned());
    let table = |csv: String| Trainer::with_file("all.csv", &csv);
    let gestures = labelled::csv(&labelled::series(60));
    for (trainer, recipe) in [
        (Trainer::new(20), "cnn"),
        (Trainer::new(20), "resnet"),
        (
            table(gestures),
            "rnn --task series-classification --cell lstm --length 6",
        ),
        (
            table(series::csv(120)),
            "rnn --columns temp --length 8 --steps 4",
        ),
    ] {
        let want = losses(&trainer, recipe, "cpu");
        let got = losses(&trainer, recipe, &device);
        println!("{recipe}: cpu {want:?}, {device} {got:?}");
        assert!(want.len() == 4 && got.len() == 4, "{recipe}: two epochs");
        for (want, got) in want.iter().zip(&got) {
            assert!(
                (want - got).abs() <= TOLERANCE * want.abs(),
                "{recipe}: a loss of {got} on {device}, {want} on the processor"
            );
        }
    }
    // Dropout draws from the device's own numbers. What was trained still answers as its export does: else it would fail.
    let trainer = table(texts::csv(&texts::texts(60)));
    losses(
        &trainer,
        "transformer --max-tokens 8 --vocabulary 400",
        &device,
    );
}
