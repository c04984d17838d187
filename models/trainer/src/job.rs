//! The whole road, from data to a published version.

mod evaluate;
mod keep;
mod publish;
mod stores;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use dunlin_registry::{ModelName, Registry};
use dunlin_storage::Store;
use tokio::runtime::Handle;

use crate::auto::{self, Auto};
use crate::cli::{Cli, Wanted};
use crate::data::{Dataset, Part, Source, Task};
use crate::evaluate::Gate;
use crate::fit::{self, Checkpoints, Fingerprint, Hyperparameters, Plan};
use crate::network::{self, Visit};
use crate::package::{About, Package};
use crate::recipes::{Network, Recipe};
use crate::served::Served;
use crate::{Error, Result, device};
use stores::{registry, run_options, store_options};

/// Trains, evaluates, and publishes. Blocks; not to be called from a task of `runtime`.
pub fn run(cli: &Cli, runtime: &Handle, stop: &AtomicBool) -> Result<()> {
    cli.auto.check(cli.recipe)?;
    let about = about(cli)?;
    let device = device::open(&cli.device)?;
    let compares = cli.gates.iter().any(Gate::asks_production);
    if compares && cli.publish.is_none() && cli.model.name.is_none() {
        let message =
            "a gate against production needs the model's name: --publish NAME, or --name NAME";
        return Err(Error::usage(message));
    }
    let registry = (compares || cli.publish.is_some())
        .then(|| registry(&cli.store, runtime))
        .transpose()?;

    let source = Source::open(&cli.data, store_options(&cli.store), runtime.clone())?;
    let (recipe, task) = match cli.recipe {
        Wanted::Recipe(recipe) => (recipe, task(cli, recipe)?),
        Wanted::Auto => {
            let found = || source.task(cli.columns());
            let task = cli.task.map_or_else(found, Ok)?;
            (auto::recipe(task), task)
        }
    };
    let hyper = cli.training.over(recipe.defaults())?;
    let data = Arc::new(gather(cli, task, source)?);
    if !cli.quiet {
        eprintln!("{}", data.census);
    }
    let slicings = data.by_columns();
    if let Some(fault) = cli.gates.iter().find_map(|gate| gate.fault(&slicings)) {
        return Err(Error::usage(fault));
    }

    let mut job = Job {
        cli,
        runtime,
        stop,
        recipe,
        hyper,
        about,
        registry,
        device,
        data: &data,
    };
    if cli.recipe == Wanted::Auto {
        job.choose()?;
    }
    network::build(job.recipe, &job.hyper, &data, &job.device, &job)
}

/// What the recipe is to learn.
fn task(cli: &Cli, recipe: Recipe) -> Result<Task> {
    let tasks = recipe.tasks();
    let task = cli.task.unwrap_or(tasks[0]);
    if tasks.contains(&task) {
        return Ok(task);
    }
    let known: Vec<&str> = tasks.iter().map(|task| task.name()).collect();
    Err(Error::usage(format!(
        "--task {}: the recipe {} learns {}",
        task.name(),
        recipe.name(),
        known.join(", ")
    )))
}

/// The data, as the task takes it.
fn gather(cli: &Cli, task: Task, source: Source) -> Result<Dataset> {
    let options = cli.data_args.options()?;
    let (texts, series) = (&cli.texts, &cli.series);
    match task {
        Task::ImageClassification => Dataset::pictures(source, &options, cli.pictures.size),
        Task::TextClassification => {
            Dataset::texts(source, &options, &texts.labelled(&cli.data_args)?)
        }
        Task::SentenceSimilarity => Dataset::texts(source, &options, &texts.pairs()?),
        Task::SeriesClassification => {
            Dataset::labelled_series(source, &options, &series.labelled(&cli.data_args))
        }
        Task::Forecasting => Dataset::series(source, &options, &series.forecasting()),
    }
}

/// What is settled before anything is trained.
struct Job<'a> {
    cli: &'a Cli,
    runtime: &'a Handle,
    stop: &'a AtomicBool,
    recipe: Recipe,
    hyper: Hyperparameters,
    about: About,
    registry: Option<Registry>,
    device: Device,
    data: &'a Arc<Dataset>,
}

impl Visit for &Job<'_> {
    type Output = ();

    fn visit<N: Network>(self, network: N) -> Result<()> {
        self.train(network)
    }
}

impl Job<'_> {
    /// Chooses recipe, width and epochs.
    fn choose(&mut self) -> Result<()> {
        let auto = Auto {
            cli: self.cli,
            data: self.data,
            device: &self.device,
            stop: self.stop,
        };
        let chosen = if self.cli.dry_run {
            auto.choose(self.recipe, false)?
        } else {
            auto.choose_once(self.recipe, &self.run_store()?, self.runtime)?
        };
        self.recipe = chosen.recipe;
        self.hyper = self.cli.training.over(chosen.defaults())?;
        Ok(())
    }

    fn train<N: Network>(&self, network: N) -> Result<()> {
        let parameters = network.num_params();
        let sizes: Vec<String> = self.data.sizes().iter().map(usize::to_string).collect();
        self.say(&format!(
            "network    {}: {parameters} weights for {}, on {}",
            self.recipe.name(),
            sizes.join("×"),
            self.cli.device
        ));
        let checkpoints = Checkpoints::new(self.run_store()?, self.runtime.clone());
        let plan = Plan {
            device: self.device.clone(),
            fingerprint: self.fingerprint(),
            checkpoints: Some(&checkpoints),
            checkpoint_every: self.cli.checkpoint_every,
            workers: self.cli.workers,
            stop: self.stop,
            quiet: self.cli.quiet,
        };
        // What would fail after hours fails now.
        let before = self.production()?.map(|production| {
            let summary = production.evaluation.summary();
            self.say(&format!("production {}: {summary}", production.version));
            production.version
        });
        if self.cli.dry_run {
            return self.try_out(&network.valid(), &plan);
        }
        if self.cli.fresh {
            checkpoints.clear()?;
        }
        let fitted = fit::fit(network, self.data, &plan)?;
        let served = self.served(&fitted.network)?;
        let production = self.production_after(before.as_deref());
        let known = production.as_ref().ok();
        let report = self.evaluate(&fitted, &served, &plan, parameters, known)?;
        let (count, unit) = (report.data.size(Part::Test), report.data.unit);
        println!(
            "test       {}, on {count} {unit}",
            report.evaluation.summary()
        );
        for slice in report.slices.iter().filter(|slice| slice.worse) {
            println!("slice      {slice}: worse than the whole, by more than chance");
        }
        let package = Package {
            about: &self.about,
            onnx: served.onnx(),
            input: served.input(self.data),
            data: self.data,
            report: &report,
        };
        let mut files = package.files()?;
        files.extend(self.reports(&report)?);
        let mut kept = self.keep(files, fitted.unstored);
        production.map_err(|error| error.with(&kept.unjudged()))?;
        self.pass_gates(&report.gates, "")?;
        let published = match &self.registry {
            Some(registry) if self.cli.publish.is_some() => {
                Some(self.publish(registry, served, report, &mut kept)?)
            }
            _ => None,
        };
        kept.end(published)
    }

    /// Shows that the rest of the road is open, with weights that know nothing.
    fn try_out<N: Network>(&self, network: &N, plan: &Plan) -> Result<()> {
        let served = self.served(network)?;
        let difference = self.difference(network, &served, plan)?;
        let (examples, unit) = (self.data.part(Part::Train).len(), self.data.census.unit);
        let steps = examples.div_ceil(self.hyper.batch) * self.hyper.epochs;
        let bytes = served.onnx().len();
        self.say(&format!(
            "dry run    {} epochs, {steps} steps of {} {unit}; {bytes} bytes of ONNX, which the engine runs \
             to within {difference:.0e}; nothing was trained",
            self.hyper.epochs, self.hyper.batch
        ));
        Ok(())
    }

    fn served<N: Network>(&self, network: &N) -> Result<Served> {
        Served::export(
            network,
            self.data,
            self.about.name.as_str(),
            self.cli.model.normalize_in_graph,
        )
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint {
            recipe: self.recipe.name().to_owned(),
            data: self.data.census.digest.clone(),
            shape: self.data.sizes(),
            hyperparameters: self.hyper.clone(),
        }
    }

    /// Where the run is kept.
    fn run_store(&self) -> Result<Arc<dyn Store>> {
        let default = || format!("runs/{}", self.about.name);
        let url = self.cli.run.clone().unwrap_or_else(default);
        let options = run_options(&self.cli.store);
        let opened = dunlin_storage::open(&url, &options);
        Ok(self.runtime.block_on(opened)?)
    }

    fn folder(&self) -> PathBuf {
        let default = || PathBuf::from(format!("runs/{}/model", self.about.name));
        self.cli.output.clone().unwrap_or_else(default)
    }

    fn say(&self, line: &str) {
        if !self.cli.quiet {
            eprintln!("{line}");
        }
    }
}

fn about(cli: &Cli) -> Result<About> {
    let model = &cli.model;
    let name = cli
        .publish
        .as_deref()
        .or(model.name.as_deref())
        .unwrap_or(cli.recipe.name());
    let name =
        ModelName::new(name).map_err(|error| Error::usage(error.to_string()).because(error))?;
    Ok(About {
        name,
        description: model.description.clone(),
        license: model.license.clone(),
        tags: model.tags.clone(),
        top_k: model.top_k,
    })
}
