//! The innermost loops: a plane for each block, a few columns of a row of its output at a time.
//!
//! Nothing is copied for padding: taps beyond the plane are left out.

use std::ops::Range;

use crate::Window;
use crate::simd::{Simd, Task};

/// Output columns of a tile, the widest first: few, as each is code of its own. Their sums, a line of taps and a column of
/// the input fit 16 registers.
const WIDTHS: [usize; 6] = [8, 7, 6, 4, 2, 1];

/// A depthwise convolution: a plane for each block of channels.
pub(super) trait Planes {
    /// The window, and height and width of the input.
    fn shape(&self) -> (Window, [usize; 2]);

    fn blocks(&self) -> usize;

    /// Whether its slices are as long as its shape says.
    fn is_sound(&self, lanes: usize) -> bool;

    /// What the tiles of a row of a block's output work on, which has so many rows and columns.
    ///
    /// # Safety
    /// The planes are sound, and the output has such a block and row.
    unsafe fn row<S: Simd>(
        &mut self,
        s: S,
        block: usize,
        y: usize,
        output: [usize; 2],
    ) -> impl Row<S>;

    /// Follows the last row of a block.
    fn complete<S: Simd>(&mut self, s: S, block: usize);
}

/// A row of the output. Its taps are in lines: what one vector has of a column. Unsafe methods may be called for lines and
/// columns that there are.
pub(super) trait Row<S: Simd> {
    /// How many lines of taps lie inside.
    fn lines(&self) -> usize;
    /// What the sums start from.
    unsafe fn start(&self, s: S) -> S::V;
    unsafe fn weights(&self, s: S, line: usize, tap: usize) -> S::V;
    unsafe fn column(&self, s: S, line: usize, column: usize) -> S::V;
    /// What lies beyond the plane, where that is not nothing.
    fn beyond(&self, s: S) -> Option<S::V>;
    fn add_product(&self, s: S, x: S::V, w: S::V, sum: S::V) -> S::V;
    /// Stores the sums of the columns from `x` on.
    unsafe fn finish<const WIDTH: usize>(&self, s: S, x: usize, sums: [S::V; WIDTH]);
}

/// Convolves planes with an output that is not empty.
#[inline(always)]
pub(super) fn run<S: Simd>(s: S, planes: impl Planes) {
    let (window, size) = planes.shape();
    let columns = window.output(size)[1];
    let fitting = WIDTHS.into_iter().filter(|&width| width <= columns);
    // A tile takes the time of some three columns beside its own, and the last one may do some again.
    let width = fitting.min_by_key(|&width| columns.div_ceil(width) * (width + 3));
    macro_rules! widths {
        ($kernel:literal, $stride:literal, $($width:literal)*) => {
            match width {
                $(Some($width) => s.vectorize(Tiles::<_, $width, $kernel, $stride>(planes)),)*
                _ => unreachable!("a tile of {width:?} columns"),
            }
        };
    }
    match (window.kernel[1], window.stride[1], window.dilation[1]) {
        (3, 1, 1) => widths!(3, 1, 8 7 6 4 2 1),
        (3, 2, 1) => widths!(3, 2, 8 7 6 4 2 1),
        (5, 1, 1) => widths!(5, 1, 8 7 6 4 2 1),
        (5, 2, 1) => widths!(5, 2, 8 7 6 4 2 1),
        _ => widths!(0, 0, 8 7 6 4 2 1),
    }
}

/// Planes in tiles of fixed extents; the kernel's width and the stride are 0 where only the run knows them.
struct Tiles<P, const WIDTH: usize, const KERNEL: usize, const STRIDE: usize>(P);

impl<P: Planes, const WIDTH: usize, const KERNEL: usize, const STRIDE: usize> Task
    for Tiles<P, WIDTH, KERNEL, STRIDE>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(mut planes) = self;
        let (window, size) = planes.shape();
        let [rows, columns] = window.output(size);
        assert!(planes.is_sound(S::LANES) && columns >= WIDTH);
        let tiles = columns.div_ceil(WIDTH);
        // The last tile may do a few columns again.
        let start = |tile: usize| (tile * WIDTH).min(columns - WIDTH);
        let inner = inner(&window, size[1], WIDTH);
        let at = At {
            window,
            width: size[1],
        };
        // A tile as wide as the plane, as small planes have it: the compiler knows which taps lie beyond.
        if STRIDE == 1 && [columns, size[1]] == [WIDTH; 2] && window.before[1] == KERNEL / 2 {
            for block in 0..planes.blocks() {
                for y in 0..rows {
                    // SAFETY: the planes are sound, and the tile is the row.
                    unsafe {
                        let row = planes.row(s, block, y, [rows, columns]);
                        at.tile::<S, _, WIDTH, KERNEL, STRIDE, WHOLE>(s, &row, 0);
                    }
                }
                planes.complete(s, block);
            }
            return;
        }
        for block in 0..planes.blocks() {
            for y in 0..rows {
                // SAFETY: the planes are sound, and `inner` has looked at the columns.
                unsafe {
                    let row = planes.row(s, block, y, [rows, columns]);
                    // Two loops: one with two ways through it would keep the sums in memory where they meet.
                    for tile in inner.clone() {
                        at.tile::<S, _, WIDTH, KERNEL, STRIDE, INNER>(s, &row, start(tile));
                    }
                    let mut tile = 0;
                    loop {
                        if tile == inner.start {
                            tile = inner.end;
                        }
                        if tile == tiles {
                            break;
                        }
                        at.tile::<S, _, WIDTH, KERNEL, STRIDE, BORDERING>(s, &row, start(tile));
                        tile += 1;
                    }
                }
            }
            planes.complete(s, block);
        }
    }
}

/// The tiles of a row, each of `width` columns, all of whose taps lie inside a plane of `size` columns.
fn inner(window: &Window, size: usize, width: usize) -> Range<usize> {
    let [_, columns] = window.output([window.extent(0), size]);
    let (stride, before) = (window.stride[1], window.before[1]);
    let tiles = columns.div_ceil(width);
    let last = columns - width;
    let reach = (width - 1) * stride + window.extent(1);
    let Some(room) = (size + before).checked_sub(reach) else {
        return tiles..tiles;
    };
    let (from, to) = (before.div_ceil(stride), room / stride);
    let first = if from <= last {
        from.div_ceil(width)
    } else {
        tiles
    };
    let end = if last <= to { tiles } else { to / width + 1 };
    first..end.max(first)
}

/// Where a tile lies: all columns of its taps lie inside the plane.
const INNER: u8 = 0;
/// Some may not.
const BORDERING: u8 = 1;
/// It is as wide as the plane, and as many columns of taps lie beyond it on the left as the kernel has before its middle.
const WHOLE: u8 = 2;

/// Where taps lie.
#[derive(Clone, Copy)]
struct At {
    window: Window,
    /// Columns of the input.
    width: usize,
}

impl At {
    /// The tile from column `x` of the output on.
    ///
    /// # Safety
    /// The row has these columns, and the tile lies where `PLACE` says.
    #[inline(always)]
    unsafe fn tile<
        S: Simd,
        R: Row<S>,
        const WIDTH: usize,
        const KERNEL: usize,
        const STRIDE: usize,
        const PLACE: u8,
    >(
        self,
        s: S,
        row: &R,
        x: usize,
    ) {
        let window = self.window;
        let stride = if KERNEL == 0 {
            window.stride[1]
        } else {
            STRIDE
        };
        // Wraps below zero.
        let left = (x * stride).wrapping_sub(window.before[1]);
        let beyond = row.beyond(s);
        // SAFETY: only columns that are inside are read; the rest is the caller's promise.
        unsafe {
            let column = |line: usize, column: usize| {
                if PLACE != BORDERING || column < self.width {
                    Some(row.column(s, line, column))
                } else {
                    beyond
                }
            };
            let mut sums = [row.start(s); WIDTH];
            for line in 0..row.lines() {
                if KERNEL == 0 {
                    for tap in 0..window.kernel[1] {
                        let w = row.weights(s, line, tap);
                        let left = left.wrapping_add(tap * window.dilation[1]);
                        for (p, sum) in sums.iter_mut().enumerate() {
                            if let Some(x) = column(line, left.wrapping_add(p * stride)) {
                                *sum = row.add_product(s, x, w, *sum);
                            }
                        }
                    }
                    continue;
                }
                let mut w = [s.splat(0.0); KERNEL];
                for (tap, w) in w.iter_mut().enumerate() {
                    *w = row.weights(s, line, tap);
                }
                // Each column is read once, for all outputs that see it. They are named: a loop over them is not always
                // unrolled, and the sums would lie in memory.
                macro_rules! columns {
                    ($($at:literal)*) => {$(
                        if $at < (WIDTH - 1) * STRIDE + KERNEL
                            && let Some(x) = if PLACE == WHOLE
                                && ($at < KERNEL / 2 || $at >= WIDTH + KERNEL / 2)
                            {
                                beyond
                            } else {
                                column(line, left.wrapping_add($at))
                            }
                        {
                            for (p, sum) in sums.iter_mut().enumerate() {
                                if $at >= p * STRIDE && $at - p * STRIDE < KERNEL {
                                    *sum = row.add_product(s, x, w[$at - p * STRIDE], *sum);
                                }
                            }
                        }
                    )*};
                }
                columns!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18);
            }
            row.finish(s, x, sums);
        }
    }
}
