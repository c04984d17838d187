//! The recipe `auto`: what it chooses for which data, and how it tells.

use std::fmt::Write as _;

use crate::labelled;
use crate::texts::{csv, pairs, texts};
use crate::trainer::Trainer;

fn told(trainer: &Trainer, options: &[&str]) -> String {
    let output = trainer.run(&[&["auto"], options].concat(), 0);
    String::from_utf8(output.stderr).unwrap()
}

fn series(rows: usize) -> Trainer {
    let mut table = "hour,level\n".to_owned();
    for hour in 0..rows {
        let level = (hour % 12) as f64 + (hour * 7 % 5) as f64 * 0.1;
        let _ = writeln!(table, "{hour},{level}");
    }
    Trainer::with_file("levels.csv", &table)
}

/// What follows a word that begins a line, once.
fn after<'a>(text: &'a str, word: &str) -> &'a str {
    let line = text.lines().find(|line| line.starts_with(word));
    line.unwrap_or_else(|| panic!("no {word}: {text}"))
        .trim_start_matches(word)
        .trim()
}

#[test]
fn the_recipe_follows_from_the_data_and_the_width_from_its_amount() {
    let window = ["--length", "24", "--steps", "6", "--season", "12"];
    let window = [&["--columns", "level"], &window[..]].concat();
    let tokens = ["--max-tokens", "16", "--vocabulary", "400"];
    for (trainer, options, chosen, not) in [
        (
            Trainer::new(40),
            &[][..],
            "resnet 8, epochs: 15",
            "resnet 16",
        ),
        (
            Trainer::with_file("all.csv", &csv(&texts(200))),
            &tokens,
            "transformer 32, epochs: 8",
            "transformer 48",
        ),
        (
            Trainer::with_file("all.jsonl", &pairs(432)),
            &[
                "--text",
                "question",
                "--pair",
                "answer",
                "--vocabulary",
                "400",
            ],
            "embed 32, epochs: 10",
            "embed 64",
        ),
        (
            Trainer::with_file("all.csv", &labelled::csv(&labelled::series(120))),
            &[],
            "rnn 16, epochs: 20",
            "rnn 32",
        ),
        (series(600), &window, "rnn 16, epochs: 20", "rnn 32"),
        (series(3000), &window, "rnn 32, epochs: 20", "rnn 64"),
    ] {
        let text = told(
            &trainer,
            &[options, &["--budget", "9h", "--dry-run"]].concat(),
        );
        assert!(after(&text, "chosen").starts_with(chosen), "{text}");
        // The table shows what was not chosen, and why.
        let row = text.lines().find(|line| line.contains(not)).unwrap();
        assert!(row.contains("and more"), "{row}");
        assert!(!trainer.path("runs").exists());
    }
}

#[test]
fn the_epochs_follow_from_the_time() {
    let trainer = Trainer::new(60);
    let epochs = |budget, more: &[&str]| {
        let options = ["--budget", budget, "--dry-run", "--batch", "8"];
        let text = told(&trainer, &[&options[..], more].concat());
        let chosen = after(&text, "chosen").split_once("epochs: ").unwrap().1;
        chosen.split(';').next().unwrap().parse::<usize>().unwrap()
    };
    // No machine has so many in a second.
    let many = epochs("1s", &["--epochs", "100000"]);
    assert!((1..100_000).contains(&many), "{many}");
    assert_eq!(epochs("9h", &[]), 15);
    // What is said is not chosen.
    let text = told(
        &trainer,
        &[
            "--width",
            "4",
            "--epochs",
            "2",
            "--dry-run",
            "--budget",
            "9h",
        ],
    );
    assert!(
        after(&text, "chosen").starts_with("resnet 4, epochs: 2"),
        "{text}"
    );
    for wrong in [["--budget", "5m"], ["--budget", "soon"]] {
        trainer.run(&[&["resnet"], &wrong[..]].concat(), 2);
    }
}

#[test]
fn compared_networks_are_halved_and_the_best_is_trained() {
    let trainer = Trainer::new(60);
    let options = ["--budget", "24s", "--compare", "--batch", "16"];
    let text = told(&trainer, &options);
    for wanted in [
        "round 1 of 2, 4 networks",
        "round 2 of 2, 2 networks",
        "the lowest validation loss",
        "valid: loss",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    // The best of the last round is the one with the lowest loss.
    let (_, last) = text.split_once("round 2 of 2").unwrap();
    let (last, _) = last.split_once("chosen").unwrap();
    let trials = last.lines().filter_map(|line| {
        let (network, score) = line.split_once("valid: loss ")?;
        let words: Vec<&str> = network.split_whitespace().collect();
        let loss: f64 = score.split(',').next()?.parse().ok()?;
        Some((loss, format!("{} {}", words[0], words[1])))
    });
    let best = trials
        .min_by(|one, other| one.0.total_cmp(&other.0))
        .unwrap();
    let chosen = after(&text, "chosen");
    assert!(chosen.starts_with(&best.1), "{text}");
    let report = trainer.report("runs/auto/model");
    let (recipe, width) = best.1.split_once(' ').unwrap();
    assert_eq!(report["training"]["recipe"], recipe);
    assert_eq!(
        report["training"]["hyperparameters"]["width"].to_string(),
        width
    );

    // The same command goes on with what was chosen.
    let text = told(&trainer, &options);
    assert!(
        text.contains(&format!("{}, ", best.1)) && text.contains("as chosen when this run began"),
        "{text}"
    );
    assert!(!text.contains("round 1"), "{text}");
}
