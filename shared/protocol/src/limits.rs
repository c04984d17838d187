//! How much a caller may send.

/// Limits on one message from outside, checked before the work that they bound.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Elements of one tensor.
    pub elements: usize,
    /// Inputs, and requested outputs, of one request.
    pub tensors: usize,
    /// Dimensions of one tensor.
    pub rank: usize,
    /// Nesting of JSON, counted from the body's own object.
    pub json_depth: usize,
    /// Bytes of a request's id, and of a tensor's name.
    pub name_bytes: usize,
}

impl Default for Limits {
    /// 64 MiB a body, 64 Mi elements, 64 tensors, rank 16, depth 32, names of 1024 bytes.
    fn default() -> Self {
        Self {
            body_bytes: 64 << 20,
            elements: 64 << 20,
            tensors: 64,
            rank: 16,
            json_depth: 32,
            name_bytes: 1024,
        }
    }
}
