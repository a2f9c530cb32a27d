// Noise without a state: the same words give the same bits, on every device and in any order.

fn hash(a: u32, b: u32, c: u32, d: u32) -> u32 {
    return pcg(pcg(pcg(pcg(a) ^ b) ^ c) ^ d);
}

/// Jarzynski and Olano 2020, "Hash Functions for GPU Rendering", section 4.
fn pcg(v: u32) -> u32 {
    let state = v * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}
