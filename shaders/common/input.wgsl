// u, the input of a linear layer, from an activation x: as it is, normalised, or through a non-linearity.
// The shader has the bindings `x` and `norm`, and `launch` with their places.

override INPUT: u32 = 0u;

const PLAIN = 0u;
const NORM = 1u;
const RELU = 2u;
const GATED_GELU = 3u;

fn input_width() -> u32 {
    return select(launch.x.cols, launch.x.cols / 2u, INPUT == GATED_GELU);
}

/// Element `i` of a token's u; of a normalised one, before the factor 1 / sqrt(mean(x²) + epsilon).
fn input_value(token: u32, i: u32) -> f32 {
    let at = launch.x.offset + token * launch.x.cols + i;
    if INPUT == NORM {
        return x[at] * norm[launch.norm.offset + i];
    }
    if INPUT == RELU {
        return max(x[at], 0.0);
    }
    if INPUT == GATED_GELU {
        return gelu(x[at]) * x[at + launch.x.cols / 2u];
    }
    return x[at];
}

/// The tanh approximation.
fn gelu(v: f32) -> f32 {
    // Beyond ±10 tanh is ±1, and some drivers overflow.
    let t = clamp(0.7978846 * (v + 0.044715 * v * v * v), -10.0, 10.0);
    return 0.5 * v * (1.0 + tanh(t));
}

/// The factor of a norm.
fn norm_factor(square_sum: f32) -> f32 {
    return 1.0 / sqrt(square_sum / f32(launch.x.cols) + launch.epsilon);
}
