//! Results, back from the GPU: one submission, one wait.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Gpu;
use super::faults::lost;
use crate::error::Result;
use crate::tensor::Tensor;

/// The least size of the buffer that results come back in, so that it need not grow while tokens are made.
const STAGING_BYTES: u64 = 1 << 20;

impl Gpu {
    /// The bytes of each tensor, once all that was run before is done.
    ///
    /// # Errors
    /// The first fault of the device, if there was one.
    pub async fn read(&mut self, tensors: &[Tensor]) -> Result<Vec<Vec<u8>>> {
        self.faults.check()?;
        let padded = |tensor: &Tensor| (tensor.byte_len() as u64).next_multiple_of(4);
        let total: u64 = tensors.iter().map(padded).sum::<u64>().max(4);
        let staging = self.staging(total);
        let mut encoder =
            self.encoder.take().unwrap_or_else(|| self.device.create_command_encoder(&Default::default()));
        let mut end = 0;
        for tensor in tensors.iter().filter(|tensor| !tensor.is_empty()) {
            let size = padded(tensor);
            encoder.copy_buffer_to_buffer(self.buffer(tensor), tensor.offset as u64, &staging, end, size);
            end += size;
        }
        self.encoder = Some(encoder);
        self.submit();
        self.counts.readbacks += 1;

        let mapped = Mapped::default();
        let done = mapped.clone();
        staging.map_async(wgpu::MapMode::Read, 0..total, move |result| done.set(result.is_ok()));
        // Natively this waits; in a browser it does nothing, and the future is what waits.
        let _ = self.device.poll(wgpu::PollType::wait_indefinitely());
        let is_mapped = mapped.await;
        self.faults.check()?;
        let view = staging.get_mapped_range(0..total).ok().filter(|_| is_mapped);
        let Some(view) = view else {
            return Err(lost("a result did not come back"));
        };
        let mut start = 0;
        let read = tensors.iter().map(|tensor| {
            let bytes = view[start..start + tensor.byte_len()].to_vec();
            start += padded(tensor) as usize;
            bytes
        });
        let read = read.collect();
        drop(view);
        staging.unmap();
        self.staging = Some(staging);
        Ok(read)
    }

    /// A buffer of at least `bytes` bytes that can be mapped.
    fn staging(&mut self, bytes: u64) -> wgpu::Buffer {
        match self.staging.take() {
            Some(staging) if staging.size() >= bytes => staging,
            _ => {
                let size = bytes.next_power_of_two().max(STAGING_BYTES);
                self.make_buffer(size, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)
            }
        }
    }
}

/// Whether a buffer was mapped, once that is known.
#[derive(Clone, Default)]
struct Mapped(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    outcome: Option<bool>,
    waker: Option<Waker>,
}

impl Mapped {
    fn set(&self, outcome: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.outcome = Some(outcome);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

impl Future for Mapped {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.outcome {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
