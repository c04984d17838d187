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
    /// Limits on JSON bodies.
    pub protocol: dunlin_protocol::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            picture_bytes: 32 << 20,
            pixels: 50_000_000,
            protocol: dunlin_protocol::Limits::default(),
        }
    }
}
