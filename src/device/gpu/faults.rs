//! What goes wrong on a GPU is heard of later, by callbacks. The first such fault is kept; nothing is computed after it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, ErrorCode, Result};

/// The first fault of a device, shared with the callbacks that may note it.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Option<Error>>>);

impl Faults {
    /// Notes what the driver reports from now on.
    pub fn listen(&self, device: &wgpu::Device) {
        let faults = self.clone();
        device.on_uncaptured_error(Arc::new(move |error| faults.note(describe(&error))));
        let faults = self.clone();
        device.set_device_lost_callback(move |reason, message| {
            // A device that was dropped on purpose is lost too, and nobody asks any more.
            faults.note(lost(&format!("it was lost ({reason:?}): {message}")));
        });
    }

    /// Notes that a buffer cannot be had.
    pub fn too_large(&self, bytes: usize, largest: usize) {
        self.note(Error::new(
            ErrorCode::DeviceLimit,
            "maxStorageBufferBindingSize",
            format!("{bytes} bytes are needed, the adapter has {largest}"),
            "an adapter with larger buffers, a smaller model, or the CPU",
        ));
    }

    /// Notes what a driver without memory reports.
    pub fn out_of_memory(&self) {
        self.note(out_of_memory());
    }

    /// Whether there was any.
    pub fn any(&self) -> bool {
        self.lock().is_some()
    }

    /// Forgets the first fault, if it was of this kind.
    pub fn forgive(&self, code: ErrorCode) {
        self.lock().take_if(|error| error.code == code);
    }

    /// The first fault, as an error.
    pub fn check(&self) -> Result<()> {
        self.lock().clone().map_or(Ok(()), Err)
    }

    fn note(&self, error: Error) {
        self.lock().get_or_insert(error);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Error>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The device is gone.
pub fn lost(problem: &str) -> Error {
    Error::new(ErrorCode::DeviceLost, "gpu", problem, "a device that stays; open another")
}

/// What the driver says, under a code.
fn describe(error: &wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { .. } => out_of_memory(),
        wgpu::Error::Validation { description, .. } | wgpu::Error::Internal { description, .. } => {
            let expected = "a driver that takes this work; or the CPU";
            Error::new(ErrorCode::DeviceFailed, "gpu", description.trim(), expected)
        }
    }
}

fn out_of_memory() -> Error {
    let expected = "a smaller pool, a smaller model, or the CPU";
    Error::new(ErrorCode::OutOfMemory, "gpu", "out of memory", expected)
}
