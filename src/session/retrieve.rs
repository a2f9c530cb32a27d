//! One expert for the whole input, found before it is read with that expert.

use super::{Generation, Session};
use crate::device::{Part, Plan};
use crate::error::Result;
use crate::kernels::score::LOWEST;
use crate::recording::{Control, Recording};
use crate::router::Routes;
use crate::strategies::retrieval::{embedding, nearest};
use crate::workspace::EncoderWorkspace;

impl Session {
    /// The encoder alone, in the same memory. `routed` is how the input will be read then.
    pub(super) fn plan_retrieval(&mut self, reading: &EncoderWorkspace, routed: &Routes) -> Plan {
        let mut recording = Recording::default();
        let mut routes = routed.without_experts();
        self.model.encoder.record(&mut recording, &self.model.config, reading, &mut routes);
        // Nobody who observes a pass means this one.
        recording.marks.clear();
        self.devices.of(Part::Encoder).prepare(recording)
    }

    /// Leaves one expert that may be chosen.
    pub(super) async fn retrieve(&mut self, plan: &Plan, generation: &mut Generation) -> Result<()> {
        let Generation { reading, biases, work, .. } = generation;
        let d_model = self.model.config.d_model;
        let device = self.devices.of(Part::Encoder);
        device
            .write(&reading.activations.control, bytemuck::cast_slice::<Control, u32>(&[Control::default()]));
        device.run(plan, 0..plan.recording.dispatches.len(), 1);
        work.passes += 1;
        let query = embedding(&device.read_floats(&reading.encoded).await?, d_model);
        let examples = self.experts.iter().zip(&*biases).map(|(expert, bias)| match *bias {
            LOWEST => &[],
            _ => &expert.vectors.examples[..],
        });
        let nearest = nearest(&query, examples);
        for (expert, bias) in biases.iter_mut().enumerate() {
            if nearest != Some(expert) {
                *bias = LOWEST;
            }
        }
        Ok(())
    }
}
