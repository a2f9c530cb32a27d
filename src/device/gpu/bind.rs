//! Making all that a recording takes to run: pipelines, launch structs, bind groups.

use std::collections::HashMap;
use std::rc::Rc;

use super::{Adapter, Gpu};
use crate::recording::{Access, Dispatch, Recording, Target};
use crate::tensor::{BufferId, Tensor};

/// Recordings whose bind groups are kept for the next of the same shape: an encoder, a decoder, and as many of another.
const MOST_KEPT: usize = 4;

/// A recording, ready to run.
#[derive(Default)]
pub struct BoundRecording {
    /// One for each dispatch.
    pub steps: Vec<BoundDispatch>,
    /// The buffers that they bind, with their sizes in bytes.
    pub buffers: HashMap<BufferId, u64>,
    /// As long as this is here, nobody else uses it.
    _kept: Option<Rc<Kept>>,
}

/// A dispatch, ready to run.
pub struct BoundDispatch {
    pub pipeline: wgpu::ComputePipeline,
    pub bind_group: wgpu::BindGroup,
    pub workgroups: [u32; 3],
}

/// What was made for one recording and does for the next: a buffer of launch structs, and bind groups with places in it.
pub struct Kept {
    uniforms: wgpu::Buffer,
    groups: HashMap<Key, wgpu::BindGroup>,
}

/// What a bind group binds: buffers by their numbers, and place and size of a launch struct.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    access: &'static [Access],
    buffers: Vec<u64>,
    launch: (u64, u64),
}

impl Gpu {
    /// Makes a recording ready to run. What was made for one before it that is of no more use is used again.
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
        let Kept { uniforms, groups: mut before } = self.take_kept((structs.len() as u64).max(16));
        self.submit();
        self.queue.write_buffer(&uniforms, 0, &structs);
        let mut groups = HashMap::new();
        let steps = (recording.dispatches.iter().zip(launches))
            .map(|(dispatch, launch)| {
                self.bind_dispatch(dispatch, &uniforms, launch, &mut before, &mut groups)
            })
            .collect();
        let tensors = recording.dispatches.iter().flat_map(|dispatch| &dispatch.tensors);
        let buffers = tensors.map(|tensor| (tensor.buffer, self.buffer(tensor).size())).collect();
        let kept = Rc::new(Kept { uniforms, groups });
        self.kept.push_back(kept.clone());
        if self.kept.len() > MOST_KEPT {
            self.kept.pop_front();
        }
        BoundRecording { steps, buffers, _kept: Some(kept) }
    }

    /// What is kept of a recording that nobody has any more, of launch structs of that size; or anew.
    fn take_kept(&mut self, size: u64) -> Kept {
        let is_free = |kept: &Rc<Kept>| kept.uniforms.size() == size && Rc::strong_count(kept) == 1;
        let found = self.kept.iter().position(is_free).and_then(|place| self.kept.remove(place));
        found.and_then(Rc::into_inner).unwrap_or_else(|| {
            let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
            Kept { uniforms: self.make_buffer(size, usage), groups: HashMap::new() }
        })
    }

    fn bind_dispatch(
        &mut self,
        dispatch: &Dispatch,
        uniforms: &wgpu::Buffer,
        launch: (u64, u64),
        before: &mut HashMap<Key, wgpu::BindGroup>,
        groups: &mut HashMap<Key, wgpu::BindGroup>,
    ) -> BoundDispatch {
        let Adapter { is_software, is_swiftshader, .. } = self.adapter;
        let target = Target { is_software, is_swiftshader, integers: self.integers };
        let program = (dispatch.kernel.gpu)(dispatch, target);
        let made = &mut self.counts.objects;
        let (pipeline, layout) = self.pipelines.get(&self.device, dispatch.kernel, &program, made);
        let numbers = dispatch.tensors.iter().map(|tensor| self.numbered(tensor).number).collect();
        let key = Key { access: dispatch.kernel.access, buffers: numbers, launch };
        let bind_group = before.remove(&key).unwrap_or_else(|| {
            self.counts.objects += 1;
            self.make_group(dispatch, &layout, uniforms, launch)
        });
        groups.insert(key, bind_group.clone());
        BoundDispatch { pipeline, bind_group, workgroups: program.workgroups }
    }

    fn make_group(
        &self,
        dispatch: &Dispatch,
        layout: &wgpu::BindGroupLayout,
        uniforms: &wgpu::Buffer,
        (offset, size): (u64, u64),
    ) -> wgpu::BindGroup {
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
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout, entries: &entries };
        self.device.create_bind_group(&descriptor)
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
