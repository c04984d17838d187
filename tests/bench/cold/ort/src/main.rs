//! The prediction function with onnxruntime, through `ort`, in the engine's place: storage, protocol, runtime and
//! allocator are those of `functions/predict`.
//!
//! `BENCH_STORE`, `BENCH_OBJECT`: where the ONNX file is; `BENCH_SHA256`: what it must be; `ORT_DYLIB_PATH`: the shared
//! library. It logs its phases as the function does.

use std::fmt::Write as _;
use std::sync::Mutex;

use dunlin_protocol::{
    Datatype, Element, HEADER_LENGTH, InferOutput, InferRequest, InferResponse, Limits, Parameters,
    Tensor,
};
use dunlin_storage::{DownloadOptions, ObjectKey, StoreOptions, download};
use dunlin_telemetry::{LogFormat, Phase, Phases};
use lambda_http::{Body, Error, Request, Response, service_fn};
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor as OrtTensor, ValueType};
use ort::value::{PrimitiveTensorElementType, TensorElementType};

#[tokio::main]
async fn main() -> Result<(), Error> {
    dunlin_telemetry::init(LogFormat::Auto, "info")?;
    let session = Mutex::new(load().await?);
    lambda_http::run(service_fn(|request| {
        let answered = answer(&session, &request);
        async { answered }
    }))
    .await
}

/// Fetches the model, compares its digest, and makes a session of one thread.
async fn load() -> Result<Session, Error> {
    let mut phases = Phases::new();
    let started = Phases::start(Phase::Fetch);
    let store =
        dunlin_storage::open(&std::env::var("BENCH_STORE")?, &StoreOptions::default()).await?;
    let key = ObjectKey::new(std::env::var("BENCH_OBJECT")?)?;
    let onnx = download(&store, &key, &DownloadOptions::default()).await?;
    started.stop(&mut phases);
    let started = Phases::start(Phase::Verify);
    if hexadecimal(&onnx.sha256) != std::env::var("BENCH_SHA256")? {
        return Err("the model is not what was published".into());
    }
    started.stop(&mut phases);
    let started = Phases::start(Phase::Load);
    let environment = ort::init_from(std::env::var("ORT_DYLIB_PATH")?)?.build()?;
    // The builder's error holds the builder, which no other thread may see.
    let builder = Session::builder(&environment)?.with_intra_threads(1);
    let mut builder = builder.map_err(|error| error.to_string())?;
    let session = builder.commit_from_memory(&onnx.bytes)?;
    started.stop(&mut phases);
    tracing::info!(phases = phases.server_timing(), "loaded");
    Ok(session)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An inference as the Open Inference Protocol has it, binary or JSON.
fn answer(session: &Mutex<Session>, request: &Request) -> Result<Response<Body>, Error> {
    let mut phases = Phases::new();
    let started = Phases::start(Phase::Decode);
    let header = request.headers().get(HEADER_LENGTH);
    let header = header.map(|length| length.to_str()).transpose()?;
    let header = header.map(str::parse).transpose()?;
    let body = request.body().to_vec().into();
    let request = InferRequest::decode(&body, header, &Limits::default())?;
    let inputs = request.inputs.iter();
    let inputs: Vec<(String, SessionInputValue)> = inputs
        .map(|input| Ok((input.name.clone(), to_ort(&input.tensor)?.into())))
        .collect::<Result<_, Error>>()?;
    started.stop(&mut phases);

    let started = Phases::start(Phase::Infer);
    let mut session = session.lock().map_err(|_| "the session has panicked")?;
    let outputs = session.run(inputs)?;
    started.stop(&mut phases);

    let started = Phases::start(Phase::Encode);
    let outputs = outputs.iter().map(|(name, value)| {
        Ok(InferOutput {
            name: name.to_owned(),
            parameters: Parameters::new(),
            tensor: from_ort(&value)?,
            binary: request.wants_binary(name),
        })
    });
    let response = InferResponse {
        model_name: "model".to_owned(),
        model_version: "1".to_owned(),
        id: request.id.clone(),
        parameters: Parameters::new(),
        outputs: outputs.collect::<Result<_, Error>>()?,
    };
    let encoded = response.encode()?;
    started.stop(&mut phases);
    let mut reply = Response::builder()
        .header("content-type", encoded.content_type())
        .header("server-timing", phases.server_timing());
    if let Some(length) = encoded.header_length {
        reply = reply.header(HEADER_LENGTH, length);
    }
    Ok(reply.body(Body::Binary(encoded.body.into()))?)
}

fn to_ort(tensor: &Tensor) -> Result<DynValue, Error> {
    fn of<T: Element + PrimitiveTensorElementType + std::fmt::Debug>(
        tensor: &Tensor,
    ) -> Result<DynValue, Error> {
        Ok(OrtTensor::from_array((tensor.shape().to_vec(), tensor.to_vec::<T>()?))?.into_dyn())
    }
    match tensor.datatype() {
        Datatype::Fp32 => of::<f32>(tensor),
        Datatype::Int32 => of::<i32>(tensor),
        Datatype::Int64 => of::<i64>(tensor),
        other => Err(format!("an input of type {other} is not in this benchmark").into()),
    }
}

fn from_ort(value: &DynValue) -> Result<Tensor, Error> {
    fn of<T: Element + PrimitiveTensorElementType>(value: &DynValue) -> Result<Tensor, Error> {
        let (shape, data) = value.try_extract_tensor::<T>()?;
        let shape = shape
            .iter()
            .map(|&size| usize::try_from(size))
            .collect::<Result<_, _>>()?;
        Ok(Tensor::from_vec(shape, data.to_vec())?)
    }
    match value.dtype() {
        ValueType::Tensor {
            ty: TensorElementType::Float32,
            ..
        } => of::<f32>(value),
        ValueType::Tensor {
            ty: TensorElementType::Int64,
            ..
        } => of::<i64>(value),
        other => Err(format!("an output of type {other} is not in this benchmark").into()),
    }
}
