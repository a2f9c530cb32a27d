//! Compiled shaders, each made once for a device.

use std::collections::HashMap;

use crate::recording::{Access, Kernel, Program};

/// Modules, layouts and pipelines, by what they were made from.
#[derive(Default)]
pub struct Pipelines {
    modules: HashMap<*const &'static str, wgpu::ShaderModule>,
    layouts: HashMap<&'static [Access], Layout>,
    pipelines: HashMap<Key, wgpu::ComputePipeline>,
}

/// A shader is known by where its text is: it is a constant of this program.
type Key = (*const &'static str, &'static str, Vec<u64>);

/// How the bindings of a kernel are laid out.
#[derive(Clone)]
pub struct Layout {
    /// Of group 0.
    pub group: wgpu::BindGroupLayout,
    pipeline: wgpu::PipelineLayout,
}

impl Pipelines {
    /// The pipeline for a program of a kernel, and its layout. `made` counts what had to be made.
    pub fn get(
        &mut self,
        device: &wgpu::Device,
        kernel: &Kernel,
        program: &Program,
        made: &mut usize,
    ) -> (wgpu::ComputePipeline, wgpu::BindGroupLayout) {
        let layout = self.layouts.entry(kernel.access).or_insert_with(|| {
            *made += 2;
            layout(device, kernel.access)
        });
        let source = program.source.as_ptr();
        let constants = program.constants.iter().map(|(_, value)| value.to_bits()).collect();
        let pipeline = self.pipelines.entry((source, program.entry, constants)).or_insert_with(|| {
            *made += 1;
            let module = self.modules.entry(source).or_insert_with(|| {
                *made += 1;
                device.create_shader_module(wgpu::ShaderModuleDescriptor {
                    label: Some(kernel.name),
                    source: wgpu::ShaderSource::Wgsl(program.source.concat().into()),
                })
            });
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(kernel.name),
                layout: Some(&layout.pipeline),
                module,
                entry_point: Some(program.entry),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &program.constants,
                    // No shader reads what it has not written; in a browser it is zero all the same.
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            })
        });
        (pipeline.clone(), layout.group.clone())
    }
}

/// A binding for each tensor, and one for the launch struct.
fn layout(device: &wgpu::Device, access: &[Access]) -> Layout {
    let storage = |read_only| wgpu::BufferBindingType::Storage { read_only };
    let kinds = access.iter().map(|access| match access {
        Access::Control => wgpu::BufferBindingType::Uniform,
        Access::Read => storage(true),
        Access::Write => storage(false),
    });
    let entries: Vec<wgpu::BindGroupLayoutEntry> = kinds
        .chain([wgpu::BufferBindingType::Uniform])
        .zip(0..)
        .map(|(ty, binding)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        })
        .collect();
    let group =
        device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
    let pipeline = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(&group)],
        immediate_size: 0,
    });
    Layout { group, pipeline }
}
