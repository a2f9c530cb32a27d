//! How fast a device's memory is: the floor under everything that reads each weight once.

use std::hint::black_box;
use std::time::Instant;

/// More than caches hold, where they are of usual size.
const BYTES: u64 = 64 << 20;
const ROUNDS: usize = 8;

/// Bytes read and written in a second by copying.
pub fn of(device: &str) -> f64 {
    let mut copy = match device {
        "cpu" => cpu(),
        _ => gpu(),
    };
    copy();
    let best = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        copy();
        start.elapsed().as_secs_f64()
    });
    2.0 * BYTES as f64 / best.fold(f64::INFINITY, f64::min)
}

fn cpu() -> Box<dyn FnMut()> {
    let source = vec![1u8; BYTES as usize];
    let mut target = vec![0u8; BYTES as usize];
    Box::new(move || black_box(&mut target).copy_from_slice(black_box(&source)))
}

/// The same adapter as the GPU device takes.
fn gpu() -> Box<dyn FnMut()> {
    let open = async {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..wgpu::RequestAdapterOptions::default()
        };
        let adapter = instance.request_adapter(&options).await.expect("there is an adapter");
        adapter.request_device(&wgpu::DeviceDescriptor::default()).await.expect("it gives a device")
    };
    let (device, queue) = gander::session::now(open);
    let buffer = || {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: BYTES,
            usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    };
    let (source, target) = (buffer(), buffer());
    Box::new(move || {
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&source, 0, &target, 0, BYTES);
        queue.submit([encoder.finish()]);
        device.poll(wgpu::PollType::wait_indefinitely()).expect("the copy ends");
    })
}
