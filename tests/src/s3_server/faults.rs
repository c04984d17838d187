//! What goes wrong between the client and the objects.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use s3s::Body;
use s3s::dto::StreamingBlob;
use s3s::service::S3Service;

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The request waits before it is carried out.
    Delay(Duration),
    /// The request is not carried out, and answered with this status.
    Status(u16),
    /// The body of the answer ends after so many bytes, and with it the connection.
    CutAfter(usize),
    /// The body of the answer stops after so many bytes, and the connection stays.
    StallAfter(usize),
    /// The request is carried out, and the connection ends without an answer.
    LoseAnswer,
}

/// The requests that a fault befalls.
#[derive(Clone, Debug)]
pub struct On {
    method: Method,
    path: String,
    range: String,
}

impl On {
    /// Requests by method whose path and query contain `path`.
    pub fn new(method: &Method, path: &str) -> Self {
        Self {
            method: method.clone(),
            path: path.into(),
            range: String::new(),
        }
    }

    /// Those of them whose `Range` header begins so.
    #[must_use]
    pub fn range(mut self, range: &str) -> Self {
        self.range = range.into();
        self
    }

    fn is(&self, request: &Asked) -> bool {
        self.method == request.method
            && request.path.contains(&self.path)
            && request.range.starts_with(&self.range)
    }
}

/// A request that came.
#[derive(Clone, Debug)]
struct Asked {
    method: Method,
    path: String,
    range: String,
}

impl Asked {
    fn new(parts: &Parts) -> Self {
        let range = parts
            .headers
            .get("range")
            .and_then(|range| range.to_str().ok());
        Self {
            method: parts.method.clone(),
            path: parts.uri.to_string(),
            range: range.unwrap_or_default().into(),
        }
    }
}

/// Faults to come, and the requests that came.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Mutex<Vec<(On, usize, Fault)>>,
    asked: Mutex<Vec<Asked>>,
    weather: Mutex<Option<Weather>>,
}

/// A store in bad weather: of a hundred requests so many fail, and so many lag.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Requests of a hundred that fail: not carried out, or carried out with their answer lost.
    pub failing: u32,
    /// Requests of a hundred that wait before they are carried out.
    pub lagging: u32,
    /// For how long at most.
    pub lag: Duration,
}

impl Weather {
    fn fault(self) -> Option<Fault> {
        let (dice, sort) = (fastrand::u32(0..100), fastrand::u32(0..4));
        if dice < self.failing {
            return Some(match sort {
                0 => Fault::LoseAnswer,
                1 => Fault::Status(503),
                2 => Fault::CutAfter(20),
                _ => Fault::Status(500),
            });
        }
        let lags = dice < self.failing + self.lagging;
        lags.then(|| Fault::Delay(self.lag.mul_f64(fastrand::f64())))
    }
}

impl Faults {
    /// The next `times` requests of this kind go wrong so. Of two rules the first counts.
    pub fn add(&self, on: On, times: usize, fault: Fault) {
        self.rules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((on, times, fault));
    }

    /// From now on requests fail and lag by chance; what was asked is no longer kept.
    pub fn weather(&self, weather: Weather) {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner) = Some(weather);
    }

    /// How many requests of this kind came.
    pub fn count(&self, on: &On) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|asked| on.is(asked)).count()
    }

    fn next(&self, asked: &Asked) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, times, fault) = rules
            .iter_mut()
            .find(|rule| rule.1 > 0 && rule.0.is(asked))?;
        *times -= 1;
        Some(*fault)
    }

    pub(super) async fn answer(
        &self,
        service: &S3Service,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, io::Error> {
        let (parts, body) = request.into_parts();
        let asked = Asked::new(&parts);
        let weather = *self.weather.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = if let Some(weather) = weather {
            weather.fault()
        } else {
            let fault = self.next(&asked);
            self.asked
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(asked);
            fault
        };
        match fault {
            Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
            Some(Fault::Status(status)) => {
                let mut answer = Response::new(Body::empty());
                *answer.status_mut() = StatusCode::from_u16(status).map_err(io::Error::other)?;
                return Ok(answer);
            }
            _ => {}
        }
        let request = Request::from_parts(parts, body);
        let answer = hyper::service::Service::call(service, request).await;
        let answer = answer.map_err(|error| io::Error::other(format!("{error:?}")))?;
        match fault {
            Some(Fault::LoseAnswer) => Err(io::Error::other("the answer is lost on purpose")),
            Some(Fault::CutAfter(length)) => {
                let end = || stream::iter([Err(io::Error::other("cut on purpose"))]).boxed();
                Ok(answer.map(|body| shorten(body, length, end())))
            }
            Some(Fault::StallAfter(length)) => {
                Ok(answer.map(|body| shorten(body, length, stream::pending().boxed())))
            }
            _ => Ok(answer),
        }
    }
}

/// The first bytes of a body, and then something else.
fn shorten(
    body: Body,
    length: usize,
    end: stream::BoxStream<'static, Result<Bytes, io::Error>>,
) -> Body {
    let mut left = length;
    let start = StreamingBlob::from(body).map(move |chunk| {
        let mut chunk: Bytes = chunk.map_err(io::Error::other)?;
        chunk.truncate(left);
        left -= chunk.len();
        Ok(chunk)
    });
    let start = start.take_while(|chunk: &Result<Bytes, io::Error>| {
        let more = chunk.as_ref().is_ok_and(|chunk| !chunk.is_empty());
        async move { more }
    });
    // `Body` wants `Sync`, which a boxed stream is not.
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        let mut stream = start.chain(end).boxed();
        while let Some(chunk) = stream.next().await {
            if sender.send(chunk).await.is_err() {
                break;
            }
        }
    });
    let chunks = stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    StreamingBlob::wrap(chunks).into()
}
