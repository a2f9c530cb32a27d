//! Making all that a recording takes to run: pipelines, launch structs, bind groups.

use std::collections::HashMap;

use super::Gpu;
use crate::recording::{Dispatch, Recording, Target};
use crate::tensor::{BufferId, Tensor};

/// A recording, ready to run.
#[derive(Default)]
pub struct BoundRecording {
    /// One for each dispatch.
    pub steps: Vec<BoundDispatch>,
    /// The buffers that they bind, with their sizes in bytes.
    pub buffers: HashMap<BufferId, u64>,
}

/// A dispatch, ready to run.
pub struct BoundDispatch {
    pub pipeline: wgpu::ComputePipeline,
    pub bind_group: wgpu::BindGroup,
    pub workgroups: [u32; 3],
}

impl Gpu {
    /// Makes a recording ready to run.
    pub fn bind(&mut self, recording: &Recording) -> BoundRecording {
        if self.faults.any() {
            return BoundRecording::default();
        }
        let alignment = u64::from(self.device.limits().min_uniform_buffer_offset_alignment);
        let mut structs: Vec<u8> = Vec::new();
        let launches: Vec<(u64, u64)> = (recording.dispatches.iter())
            .map(|dispatch| {
                let launch = launch_struct(dispatch);
                let offset = (structs.len() as u64).next_multiple_of(alignment);
                structs.resize(offset as usize, 0);
                structs.extend(&launch);
                (offset, launch.len() as u64)
            })
            .collect();
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let uniforms = self.make_buffer((structs.len() as u64).max(16), usage);
        self.queue.write_buffer(&uniforms, 0, &structs);
        let steps = (recording.dispatches.iter().zip(launches))
            .map(|(dispatch, launch)| self.bind_dispatch(dispatch, &uniforms, launch))
            .collect();
        let tensors = recording.dispatches.iter().flat_map(|dispatch| &dispatch.tensors);
        let buffers = tensors.map(|tensor| (tensor.buffer, self.buffer(tensor).size())).collect();
        BoundRecording { steps, buffers }
    }

    fn bind_dispatch(
        &mut self,
        dispatch: &Dispatch,
        uniforms: &wgpu::Buffer,
        (offset, size): (u64, u64),
    ) -> BoundDispatch {
        let target = Target { is_software: self.adapter.is_software, integers: self.integers };
        let program = (dispatch.kernel.gpu)(dispatch, target);
        let made = &mut self.counts.objects;
        let (pipeline, layout) = self.pipelines.get(&self.device, dispatch.kernel, &program, made);
        let tensors = dispatch.tensors.iter().map(|tensor| self.buffer(tensor).as_entire_binding());
        let launch = wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: uniforms,
            offset,
            size: wgpu::BufferSize::new(size),
        });
        let entries: Vec<wgpu::BindGroupEntry> = tensors
            .chain([launch])
            .zip(0..)
            .map(|(resource, binding)| wgpu::BindGroupEntry { binding, resource })
            .collect();
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries };
        let bind_group = self.device.create_bind_group(&descriptor);
        self.counts.objects += 1;
        BoundDispatch { pipeline, bind_group, workgroups: program.workgroups }
    }
}

/// What a shader finds behind its tensors: for each of them where it is, then the kernel's parameters.
fn launch_struct(dispatch: &Dispatch) -> Vec<u8> {
    let place = |tensor: &Tensor| {
        assert!(tensor.offset.is_multiple_of(4), "{tensor:?} does not begin at a word");
        [tensor.offset / 4, tensor.rows, tensor.cols, 0].map(|number| number as u32)
    };
    let places: Vec<u32> = dispatch.tensors.iter().flat_map(place).collect();
    let mut bytes: Vec<u8> = bytemuck::cast_slice(&places).to_vec();
    bytes.extend(&dispatch.params);
    bytes.resize(bytes.len().next_multiple_of(16), 0);
    bytes
}
