//! What a body may be at most.

/// Limits on what comes in, checked before the work is done.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a picture file. Default: 32 MiB.
    pub picture_bytes: usize,
    /// Width times height of a picture, as its header declares it, and of what it is resized to.
    /// Default: 50 million, above what telephones take by default.
    pub pixels: u64,
    /// Bytes of all texts of a request. Default: 1 MiB.
    pub text_bytes: usize,
    /// Texts of a request. Default: 2048, as many as `OpenAI` takes.
    pub texts: usize,
    /// Tokens that a request is after padding: its texts times the longest of them. Default: 64 Ki.
    pub tokens: usize,
    /// Bytes of a series, in CSV or JSON. Default: 8 MiB.
    pub series_bytes: usize,
    /// Rows of a series; the model sees the last of them. Default: 100,000, 11 years of hours.
    pub series_rows: usize,
    /// Limits on JSON bodies.
    pub protocol: dunlin_protocol::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            picture_bytes: 32 << 20,
            pixels: 50_000_000,
            text_bytes: 1 << 20,
            texts: 2048,
            tokens: 64 << 10,
            series_bytes: 8 << 20,
            series_rows: 100_000,
            protocol: dunlin_protocol::Limits::default(),
        }
    }
}
