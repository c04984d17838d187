//! Threads that share the work of one run.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon_core::{ThreadPool, ThreadPoolBuilder, Yield};

use crate::error::{Error, ErrorKind, Result};

/// Threads among which the large nodes of a run are split. By default there are none: a run is its caller's alone.
///
/// A clone is the same threads. Models may share them: runs that come together share them as well, so a process needs
/// no more than it has cores.
#[derive(Debug, Clone, Default)]
pub struct Threads(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    pool: ThreadPool,
    /// Runs at this moment.
    runs: AtomicUsize,
}

impl Threads {
    /// Starts so many threads; one is none.
    pub fn new(count: NonZeroUsize) -> Result<Self> {
        if count.get() == 1 {
            return Ok(Self(None));
        }
        let named = |index| format!("dunlin-run-{index}");
        let builder = ThreadPoolBuilder::new().num_threads(count.get());
        let pool = builder.thread_name(named).build().map_err(|error| {
            let what = format!("{count} threads can't be started: {error}");
            Error::new(ErrorKind::Failed, what)
        })?;
        let runs = AtomicUsize::new(0);
        Ok(Self(Some(Arc::new(Shared { pool, runs }))))
    }

    /// Does `work` on one of them, from where [`here`] and the pool's own functions find the others.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.0 {
            Some(shared) => shared.pool.install(|| {
                let _awake = Awake::new(Arc::clone(shared));
                work()
            }),
            None => work(),
        }
    }
}

impl PartialEq for Threads {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        }
    }
}

impl Eq for Threads {}

/// Keeps the other threads from falling asleep between the nodes of a run that is the only one: to wake a thread takes
/// longer than many a node. Where there are more runs, their threads have enough to do.
struct Awake {
    shared: Arc<Shared>,
    done: Arc<AtomicBool>,
}

impl Awake {
    fn new(shared: Arc<Shared>) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        if shared.runs.fetch_add(1, Ordering::Relaxed) == 0 {
            let here = rayon_core::current_thread_index();
            let (shared, done) = (Arc::clone(&shared), Arc::clone(&done));
            rayon_core::spawn_broadcast(move |context| {
                let alone = || shared.runs.load(Ordering::Relaxed) == 1;
                while Some(context.index()) != here && !done.load(Ordering::Relaxed) && alone() {
                    if rayon_core::yield_now() != Some(Yield::Executed) {
                        std::thread::yield_now();
                    }
                }
            });
        }
        Self { shared, done }
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        self.shared.runs.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Threads that the work of the present run may be split among: 1 outside of [`Threads::run`].
pub(crate) fn here() -> usize {
    // Asked outside of a pool, `current_num_threads` would start one.
    rayon_core::current_thread_index().map_or(1, |_| rayon_core::current_num_threads())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dunlin_protocol::{NamedTensor, Tensor};

    use super::*;
    use crate::{LoadOptions, Model};

    /// Here every node is worth sharing: see `ops/parts.rs`.
    #[test]
    fn threads_change_no_bit_of_an_answer() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/digits");
        let model = |threads: usize| {
            let options = LoadOptions {
                threads: Threads::new(threads.try_into().expect("some")).expect("threads"),
                ..LoadOptions::default()
            };
            let onnx = std::fs::read(folder.join("model.onnx")).expect("the model");
            Model::load("digits", onnx.into(), &options).expect("a model")
        };
        let (alone, shared) = (model(1), model(3));
        for count in [1, 4] {
            let pixels = (0..count * 784).map(|at| (at % 251) as f32 / 250.0);
            let tensor = Tensor::from_vec(vec![count, 1, 28, 28], pixels.collect());
            let input = NamedTensor::new(&*alone.inputs()[0].name, tensor.expect("pictures"));
            let answers = [&alone, &shared].map(|model| model.run(vec![input.clone()]));
            let [alone, shared] = answers.map(|answer| answer.expect("a run"));
            assert_eq!(alone, shared, "{count} pictures");
        }
    }
}
