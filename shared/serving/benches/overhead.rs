//! What serving costs beyond the engine, on loopback with keep-alive, and what it keeps under load.
//!
//! `cargo bench -p dunlin-serving`. Prints a table: the p50 of a request, the p50 of a bare run of
//! the same inputs, and the difference; then the throughput of 64 connections beside that of the
//! bare engine on as many threads as there are workers.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dunlin_engine::{LoadOptions, Model};
use dunlin_protocol::{InferInput, InferRequest, NamedTensor, Parameters, Tensor};
use dunlin_registry::{Draft, ModelName, Registry, Role};
use dunlin_serving::{Service, ServiceOptions, router};
use dunlin_storage::{StoreOptions, open};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Protobuf, as much of it as a tiny graph takes.
mod onnx {
    fn varint(mut value: u64, out: &mut Vec<u8>) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    fn number(field: u64, value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        varint(field << 3, &mut out);
        varint(value, &mut out);
        out
    }

    fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        varint(field << 3 | 2, &mut out);
        varint(value.len() as u64, &mut out);
        out.extend_from_slice(value);
        out
    }

    fn value(name: &str, shape: &[u64]) -> Vec<u8> {
        let dims: Vec<u8> = shape
            .iter()
            .flat_map(|&d| bytes(1, &number(1, d)))
            .collect();
        let tensor = [number(1, 1), bytes(2, &dims)].concat();
        [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
    }

    /// `y = GlobalAveragePool(x)`: the least work on an input of four dimensions.
    pub(super) fn pool(shape: &[u64; 4]) -> Vec<u8> {
        let node = [
            bytes(1, b"x"),
            bytes(2, b"y"),
            bytes(3, b"pool"),
            bytes(4, b"GlobalAveragePool"),
        ];
        let graph = [
            bytes(1, &node.concat()),
            bytes(2, b"g"),
            bytes(11, &value("x", shape)),
            bytes(12, &value("y", &[shape[0], shape[1], 1, 1])),
        ];
        [
            number(1, 8),
            bytes(7, &graph.concat()),
            bytes(8, &number(2, 13)),
        ]
        .concat()
    }
}

struct Case {
    name: &'static str,
    model: &'static str,
    input: &'static str,
    shape: Vec<usize>,
    binary: bool,
}

fn case(
    name: &'static str,
    model: &'static str,
    input: &'static str,
    shape: &[usize],
    binary: bool,
) -> Case {
    Case {
        name,
        model,
        input,
        shape: shape.to_vec(),
        binary,
    }
}

fn tensor(case: &Case) -> Result<Tensor, Failure> {
    let values: Vec<f32> = (0..case.shape.iter().product())
        .map(|i: usize| (i % 255) as f32 / 255.0)
        .collect();
    Ok(Tensor::from_vec(case.shape.clone(), values)?)
}

/// The bytes of one HTTP request.
fn request(case: &Case) -> Result<Vec<u8>, Failure> {
    let input = InferInput {
        name: case.input.into(),
        parameters: Parameters::new(),
        tensor: tensor(case)?,
    };
    let mut parameters = Parameters::new();
    parameters.insert("binary_data_output".into(), case.binary.into());
    let request = InferRequest {
        id: None,
        parameters,
        inputs: vec![input],
        outputs: Vec::new(),
    };
    let encoded = request.encode(case.binary)?;
    let mut head = format!(
        "POST /v2/models/{}/infer HTTP/1.1\r\nhost: bench\r\ncontent-length: {}\r\n",
        case.model,
        encoded.body.len()
    );
    if let Some(length) = encoded.header_length {
        write!(head, "inference-header-content-length: {length}\r\n")?;
    }
    head.push_str("\r\n");
    Ok([head.as_bytes(), &encoded.body].concat())
}

/// A connection that is kept, and a buffer for answers.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; 1 << 20],
        })
    }

    /// Sends a request and reads the answer to its end. Gives the status.
    fn ask(&mut self, request: &[u8]) -> Result<u16, Failure> {
        self.stream.write_all(request)?;
        let mut got = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[got..])?;
            if read == 0 {
                return Err("the server hung up".into());
            }
            got += read;
            let Some(end) = self.buffer[..got].windows(4).position(|w| w == b"\r\n\r\n") else {
                continue;
            };
            let head = std::str::from_utf8(&self.buffer[..end])?.to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.ok_or("no content-length")?.parse()?;
            if got >= end + 4 + length {
                return Ok(head[9..12].parse()?);
            }
        }
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Times `work` for a second, and at least 50 times.
fn p50(mut work: impl FnMut() -> Result<(), Failure>) -> Result<Duration, Failure> {
    for _ in 0..20 {
        work()?;
    }
    let (begun, mut times) = (Instant::now(), Vec::new());
    while times.len() < 50 || begun.elapsed() < Duration::from_secs(1) {
        let at = Instant::now();
        work()?;
        times.push(at.elapsed());
    }
    Ok(median(times))
}

/// How often `work` is done in a while, by as many threads.
fn throughput<W>(
    threads: usize,
    mut make: impl FnMut() -> Result<W, Failure>,
) -> Result<(f64, usize, Vec<Duration>), Failure>
where
    W: FnMut() -> Result<bool, Failure> + Send + 'static,
{
    const WHILE: Duration = Duration::from_secs(5);
    let refused = Arc::new(AtomicUsize::new(0));
    let mut hands = Vec::new();
    let begun = Instant::now();
    for _ in 0..threads {
        let (mut work, refused) = (make()?, refused.clone());
        hands.push(thread::spawn(move || {
            let mut times = Vec::new();
            while begun.elapsed() < WHILE {
                let at = Instant::now();
                if work()? {
                    times.push(at.elapsed());
                } else {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok::<_, Failure>(times)
        }));
    }
    let mut times = Vec::new();
    for hand in hands {
        times.extend(hand.join().map_err(|_| "a thread panicked")??);
    }
    let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
    times.sort_unstable();
    Ok((rate, refused.load(Ordering::Relaxed), times))
}

async fn publish(registry: &Registry, name: &str, onnx: Vec<u8>) -> Result<(), Failure> {
    let onnx = bytes::Bytes::from(onnx);
    let model = Model::load(name, onnx.clone(), &LoadOptions::default())?;
    let mut draft = Draft::new(ModelName::new(name)?);
    draft.manifest.inputs = model.inputs().to_vec();
    draft.manifest.outputs = model.outputs().to_vec();
    draft.attach(Role::Model, "onnx", onnx);
    registry.publish(draft).await?;
    Ok(())
}

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let folder = tempfile::tempdir()?;
    let digits = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../models/digits/model.onnx"
    );
    let digits = std::fs::read(digits)?;
    let picture = onnx::pool(&[1, 3, 224, 224]);
    let (address, workers) = runtime.block_on(async {
        let url = format!("file:{}", folder.path().display());
        let registry = Registry::new(open(&url, &StoreOptions::default()).await?);
        publish(&registry, "digits", digits.clone()).await?;
        publish(&registry, "picture", picture.clone()).await?;
        let service = Service::new(registry, ServiceOptions::default());
        let workers = service.options().workers;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let app = router(service);
        tokio::spawn(async move {
            use axum::serve::ListenerExt as _;
            let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
            axum::serve(listener, app).await
        });
        Ok::<_, Failure>((address, workers))
    })?;

    overhead(address, &digits, &picture)?;
    load(address, workers, digits)
}

/// What a request costs beyond a bare run.
fn overhead(address: SocketAddr, digits: &[u8], picture: &[u8]) -> Result<(), Failure> {
    let small = vec![1, 1, 28, 28];
    let large = vec![1, 3, 224, 224];
    let cases = [
        case(
            "FP32 [1,1,28,28] binary, digits",
            "digits",
            "image",
            &small,
            true,
        ),
        case(
            "FP32 [1,1,28,28] JSON, digits",
            "digits",
            "image",
            &small,
            false,
        ),
        case(
            "FP32 [1,3,224,224] binary, pooled",
            "picture",
            "x",
            &large,
            true,
        ),
        case(
            "FP32 [1,3,224,224] JSON, pooled",
            "picture",
            "x",
            &large,
            false,
        ),
    ];
    println!(
        "{:<36} {:>10} {:>10} {:>10}",
        "p50, microseconds", "request", "bare run", "overhead"
    );
    for case in &cases {
        let onnx = if case.model == "digits" {
            digits
        } else {
            picture
        };
        let model = Model::load(case.model, onnx.to_vec().into(), &LoadOptions::default())?;
        let input = tensor(case)?;
        let bare = p50(|| {
            model.run(vec![NamedTensor::new(case.input, input.clone())])?;
            Ok(())
        })?;
        let (mut client, request) = (Client::connect(address)?, request(case)?);
        let served = p50(|| match client.ask(&request)? {
            200 => Ok(()),
            status => Err(format!("{}: status {status}", case.name).into()),
        })?;
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        println!(
            "{:<36} {:>10.1} {:>10.1} {:>10.1}",
            case.name,
            micros(served),
            micros(bare),
            micros(served) - micros(bare)
        );
    }
    Ok(())
}

/// What is kept of the bare engine's throughput with 64 connections.
fn load(address: SocketAddr, workers: usize, digits: Vec<u8>) -> Result<(), Failure> {
    let heavy = case(
        "digits, batch 64",
        "digits",
        "image",
        &[64, 1, 28, 28],
        true,
    );
    let model = Arc::new(Model::load(
        "digits",
        digits.into(),
        &LoadOptions::default(),
    )?);
    let input = tensor(&heavy)?;
    let one = p50(|| {
        model.run(vec![NamedTensor::new("image", input.clone())])?;
        Ok(())
    })?;
    let (bare, ..) = throughput(workers, || {
        let (model, input) = (model.clone(), input.clone());
        Ok(move || {
            model.run(vec![NamedTensor::new("image", input.clone())])?;
            Ok(true)
        })
    })?;
    let bytes = Arc::new(request(&heavy)?);
    let (served, refused, times) = throughput(64, || {
        let (mut client, bytes) = (Client::connect(address)?, bytes.clone());
        Ok(move || match client.ask(&bytes)? {
            200 => Ok(true),
            429 => Ok(false),
            status => Err(format!("status {status}").into()),
        })
    })?;
    println!(
        "\n{}: one run {:.1} ms; bare engine, {workers} threads: {bare:.1}/s; 64 connections: {served:.1}/s, {:.1} % of it, p99 {:.0} ms, {refused} answered 429",
        heavy.name,
        one.as_secs_f64() * 1e3,
        served / bare * 100.0,
        times
            .get(times.len() * 99 / 100)
            .copied()
            .unwrap_or_default()
            .as_secs_f64()
            * 1e3
    );
    Ok(())
}
