//! Admission: threads that run work, a bounded queue before them, and nothing run in vain.
//!
//! The threads are our own, not the runtime's: a free one takes the next job without a detour, and
//! runs never wait behind unrelated blocking work. A run that is known to be short may stay on the
//! thread that it came on, while a place is free. No lock is held across a run.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::{Error, ErrorKind};

const WAITING: u8 = 0;
const RUNNING: u8 = 1;
const CANCELLED: u8 = 2;

/// The worker threads and their queue. The threads end when this is dropped and the queue is empty.
pub(crate) struct Workers {
    shared: Arc<Shared>,
    queue_timeout: Duration,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    workers: usize,
    places: usize,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    running: usize,
    closed: bool,
}

struct Job {
    state: Arc<AtomicU8>,
    /// Answers its caller, once it has left its place: what the caller asks next may take it.
    run: Box<dyn FnOnce(&Shared) + Send>,
}

/// Marks a job as unwanted when its caller goes away before it runs.
struct Ticket(Arc<AtomicU8>);

impl Ticket {
    /// Whether the job will not run any more.
    fn cancel(&self) -> bool {
        self.0
            .compare_exchange(WAITING, CANCELLED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                let claim = job.state.compare_exchange(
                    WAITING,
                    RUNNING,
                    Ordering::AcqRel,
                    Ordering::Acquire,
                );
                if claim.is_ok() {
                    queue.running += 1;
                    drop(queue);
                    (job.run)(self);
                    queue = self.lock();
                }
            } else if queue.closed {
                return;
            } else {
                queue = self
                    .wake
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// A run on another thread than a worker's. Its place is free again when this is dropped.
struct Place<'a>(&'a Shared);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}

fn late() -> Error {
    Error::new(ErrorKind::Deadline, "the request's time is over")
}

/// Runs `work` unless its time is over; a panic becomes an error.
fn attempt<T>(deadline: Instant, work: impl FnOnce() -> T) -> Result<T, Error> {
    if Instant::now() >= deadline {
        return Err(late());
    }
    // The engine catches its own panics; this is for ours, so that the thread lives on. What `work`
    // owns is dropped with it: no broken state is seen again.
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| Error::new(ErrorKind::Internal, "a worker panicked; see the log"))
}

impl Workers {
    /// Starts `workers` threads with `places` in the queue before them.
    pub(crate) fn new(workers: usize, places: usize, queue_timeout: Duration) -> Self {
        let workers = workers.max(1);
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            workers,
            places,
        });
        let mut started = 0;
        for number in 0..workers {
            let shared = shared.clone();
            let named = thread::Builder::new().name(format!("dunlin-worker-{number}"));
            match named.spawn(move || shared.work()) {
                Ok(_) => started += 1,
                Err(error) => tracing::error!(%error, "could not start a worker thread"),
            }
        }
        if started == 0 {
            // Without a thread nothing would ever be answered; refuse at once instead.
            shared.lock().closed = true;
        }
        Self {
            shared,
            queue_timeout,
        }
    }

    /// Jobs that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.lock().jobs.len()
    }

    /// Jobs that run.
    pub(crate) fn running(&self) -> usize {
        self.shared.lock().running
    }

    /// Whether a worker is free and nothing waits.
    pub(crate) fn idle(&self) -> bool {
        let queue = self.shared.lock();
        queue.running < self.shared.workers && queue.jobs.is_empty()
    }

    /// Runs `work` on a worker. Refused at once when the queue is full; dropped before it runs when
    /// the caller has gone, when it has waited for too long, or when `deadline` has passed.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, mut answer) = oneshot::channel();
        let state = Arc::new(AtomicU8::new(WAITING));
        let job = Job {
            state: state.clone(),
            run: Box::new(move |shared| {
                let result = attempt(deadline, work);
                shared.lock().running -= 1;
                let _ = sender.send(result);
            }),
        };
        self.enqueue(job)?;
        let ticket = Ticket(state);
        let patience = Instant::now() + self.queue_timeout;
        let received = match timeout_at(patience.min(deadline), &mut answer).await {
            Ok(received) => received,
            // Nobody has begun, and nobody will.
            Err(_) if ticket.cancel() => {
                return Err(if deadline <= patience {
                    late()
                } else {
                    Error::new(
                        ErrorKind::Overloaded,
                        format!(
                            "waited {:?} for a worker in vain; try again",
                            self.queue_timeout
                        ),
                    )
                });
            }
            Err(_) => match timeout_at(deadline, &mut answer).await {
                Ok(received) => received,
                Err(_) => return Err(late()),
            },
        };
        received.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "no worker is left")))
    }

    /// Runs `work` on the caller's own thread, which it must not keep for long. Gives it back where
    /// no place is free: then it has to wait as others do.
    pub(crate) fn run_here<T, W: FnOnce() -> T>(
        &self,
        deadline: Instant,
        work: W,
    ) -> Result<Result<T, Error>, W> {
        let mut queue = self.shared.lock();
        if queue.running >= self.shared.workers || !queue.jobs.is_empty() || queue.closed {
            return Err(work);
        }
        queue.running += 1;
        drop(queue);
        let _place = Place(&self.shared);
        Ok(attempt(deadline, work))
    }

    fn enqueue(&self, job: Job) -> Result<(), Error> {
        let mut queue = self.shared.lock();
        let limit = self.shared.workers + self.shared.places;
        if queue.running + queue.jobs.len() >= limit {
            queue
                .jobs
                .retain(|job| job.state.load(Ordering::Acquire) == WAITING);
        }
        if queue.running + queue.jobs.len() >= limit || queue.closed {
            return Err(Error::new(
                ErrorKind::Overloaded,
                format!(
                    "the queue is full: {} running, {} waiting; try again",
                    queue.running,
                    queue.jobs.len()
                ),
            ));
        }
        queue.jobs.push_back(job);
        drop(queue);
        self.shared.wake.notify_one();
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("workers", &self.shared.workers)
            .field("places", &self.shared.places)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_mins(1);

    fn later() -> Instant {
        Instant::now() + LONG
    }

    /// Occupies the one worker until the sender is used or dropped.
    async fn occupy(workers: &Arc<Workers>) -> (mpsc::Sender<()>, tokio::task::JoinHandle<()>) {
        let (release, wait) = mpsc::channel::<()>();
        let (begun, begins) = oneshot::channel();
        let shared = workers.clone();
        let task = tokio::spawn(async move {
            let run = shared.run(later(), move || {
                let _ = begun.send(());
                let _ = wait.recv();
            });
            run.await.expect("it runs");
        });
        begins.await.expect("it began");
        (release, task)
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let workers = Arc::new(Workers::new(1, 1, LONG));
        let (release, first) = occupy(&workers).await;
        let shared = workers.clone();
        let second = tokio::spawn(async move { shared.run(later(), || 2).await });
        while workers.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        let third = workers.run(later(), || 3).await.expect_err("no place");
        assert_eq!(third.kind(), ErrorKind::Overloaded);
        release.send(()).expect("it waits");
        first.await.expect("the first ends");
        assert_eq!(
            second
                .await
                .expect("the second ends")
                .expect("it had a place"),
            2
        );
    }

    #[tokio::test]
    async fn work_whose_caller_has_gone_does_not_run_and_leaves_its_place() {
        let workers = Arc::new(Workers::new(1, 1, LONG));
        let (release, first) = occupy(&workers).await;
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..3 {
            let (shared, count) = (workers.clone(), ran.clone());
            let gone = tokio::spawn(async move {
                shared
                    .run(later(), move || count.fetch_add(1, Ordering::SeqCst))
                    .await
            });
            while workers.waiting() == 0 {
                tokio::task::yield_now().await;
            }
            gone.abort();
            let _ = gone.await;
        }
        let shared = workers.clone();
        let last = tokio::spawn(async move { shared.run(later(), || ()).await });
        tokio::task::yield_now().await;
        drop(release);
        first.await.expect("the first ends");
        last.await
            .expect("it ends")
            .expect("the gone ones made place");
        assert_eq!(ran.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn waiting_ends_with_the_queue_timeout_and_with_the_deadline() {
        let workers = Arc::new(Workers::new(1, 8, Duration::from_millis(20)));
        let (release, first) = occupy(&workers).await;
        let impatient = workers
            .run(later(), || ())
            .await
            .expect_err("no worker is free");
        assert_eq!(impatient.kind(), ErrorKind::Overloaded);
        let late = workers
            .run(Instant::now(), || ())
            .await
            .expect_err("no time left");
        assert_eq!(late.kind(), ErrorKind::Deadline);
        drop(release);
        first.await.expect("the first ends");
        // A free worker doesn't run it either.
        let late = workers
            .run(Instant::now(), || ())
            .await
            .expect_err("no time left");
        assert_eq!(late.kind(), ErrorKind::Deadline);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_worker_lives_on() {
        let workers = Workers::new(1, 1, LONG);
        let error = workers
            .run(later(), || panic!("ours"))
            .await
            .map(|(): ()| ());
        assert_eq!(error.expect_err("it panicked").kind(), ErrorKind::Internal);
        assert_eq!(workers.run(later(), || 7).await.expect("it lives"), 7);
    }

    #[tokio::test]
    async fn a_run_on_the_callers_thread_takes_a_place_while_it_lasts() {
        let workers = Arc::new(Workers::new(1, 1, LONG));
        let caller = thread::current().id();
        let ran = workers.run_here(later(), || {
            assert_eq!(workers.running(), 1);
            assert!(workers.run_here(later(), || ()).is_err(), "no second place");
            thread::current().id()
        });
        assert_eq!(ran.ok().expect("a place").expect("no panic"), caller);
        let panicked = workers.run_here(later(), || panic!("ours"));
        let error = panicked.map(|done: Result<(), _>| done.expect_err("it panicked"));
        assert_eq!(error.ok().expect("a place").kind(), ErrorKind::Internal);
        assert_eq!(workers.running(), 0);

        let (release, first) = occupy(&workers).await;
        assert!(
            workers.run_here(later(), || ()).is_err(),
            "the worker is busy"
        );
        drop(release);
        first.await.expect("the first ends");
    }
}
