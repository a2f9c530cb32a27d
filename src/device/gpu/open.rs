//! Opening a device: an adapter, its limits, its name.

use std::collections::VecDeque;

use super::faults::Faults;
use super::pipelines::Pipelines;
use super::{Counts, Gpu};
use crate::error::{Error, ErrorCode, Result};
use crate::recording::Integers;

/// What a GPU device runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adapter {
    /// As the driver, or the browser, names it.
    pub name: String,
    /// What carries the commands: Vulkan, Metal, Dx12, BrowserWebGpu.
    pub backend: String,
    /// A CPU that plays a GPU: right, and slow.
    pub is_software: bool,
    /// It is SwiftShader.
    pub is_swiftshader: bool,
}

impl Gpu {
    /// Opens the most powerful adapter.
    ///
    /// # Errors
    /// [`ErrorCode::NoGpu`] if there is none or it gives no device; [`ErrorCode::DeviceLimit`] if it lacks something
    /// that every shader here needs.
    pub async fn open() -> Result<Gpu> {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: wgpu::Backends::PRIMARY,
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..wgpu::RequestAdapterOptions::default()
        };
        // In a browser the rest is about back ends that it does not have.
        let problem = |error: wgpu::RequestAdapterError| match cfg!(target_arch = "wasm32") {
            true => "the browser offers none".to_owned(),
            false => error.to_string(),
        };
        let adapter = instance.request_adapter(&options).await.map_err(|error| no_gpu(problem(error)))?;
        let has = adapter.limits();
        let limits = wgpu::Limits {
            max_storage_buffer_binding_size: has.max_storage_buffer_binding_size,
            max_buffer_size: has.max_buffer_size,
            ..wgpu::Limits::default()
        };
        check_limits(&limits, &has)?;
        let descriptor = wgpu::DeviceDescriptor {
            required_limits: limits,
            memory_hints: wgpu::MemoryHints::Performance,
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) =
            adapter.request_device(&descriptor).await.map_err(|error| no_gpu(error.to_string()))?;
        let info = adapter.get_info();
        let dots = wgpu::WgslLanguageFeatures::Packed4x8IntegerDotProduct;
        let is_software = info.device_type == wgpu::DeviceType::Cpu;
        let is_swiftshader = is_software && is_swiftshader(&info);
        let faults = Faults::default();
        faults.listen(&device);
        Ok(Gpu {
            device,
            queue,
            adapter: Adapter {
                name: [info.name, info.driver].into_iter().find(|name| !name.is_empty()).unwrap_or_default(),
                backend: format!("{:?}", info.backend),
                is_software,
                is_swiftshader,
            },
            pipelines: Pipelines::default(),
            buffers: Vec::new(),
            freed: Vec::new(),
            spare: Vec::new(),
            next_number: 0,
            kept: VecDeque::new(),
            encoder: None,
            staging: None,
            faults,
            has_integer_dots: instance.wgsl_language_features().contains(dots),
            integers: Integers::default(),
            buffer_limit: usize::MAX,
            refused_from: usize::MAX,
            counts: Counts::default(),
        })
    }
}

/// SwiftShader has its name, but not in browsers: there its vectors of four tell.
fn is_swiftshader(info: &wgpu::AdapterInfo) -> bool {
    info.name.contains("SwiftShader")
        || info.backend == wgpu::Backend::BrowserWebGpu && info.subgroup_max_size == 4
}

fn no_gpu(problem: String) -> Error {
    Error::new(ErrorCode::NoGpu, "gpu", problem, "an adapter of WebGPU, Vulkan, Metal or DX12; or the CPU")
}

/// Names the first limit that an adapter falls short of.
fn check_limits(need: &wgpu::Limits, has: &wgpu::Limits) -> Result<()> {
    let mut short = None;
    need.check_limits_with_fail_fn(has, false, |name, need, has| {
        short.get_or_insert_with(|| {
            let problem = format!("{need} is needed, the adapter has {has}");
            Error::new(
                ErrorCode::DeviceLimit,
                name,
                problem,
                "an adapter with WebGPU's default limits; or the CPU",
            )
        });
    });
    short.map_or(Ok(()), Err)
}
