"""The routing arithmetic against the worked example of the method: d = 8, four experts, k = 2."""
import unittest

import torch

from ocean.routing import Strategy, layer_norm


class Routing(unittest.TestCase):
    def test_two_best_share_the_weight(self) -> None:
        u = torch.tensor([0.5, -1.25, 2.0, 0.125, -0.75, 1.5, -0.0625, 0.3])
        gates = torch.tensor([[0.02, -0.01, 0.03, 0, -0.02, 0.01, 0, 0.005], [-0.01, 0.02, -0.03, 0.01, 0, 0, 0.02, -0.01],
                              [0.01, 0.01, 0, -0.02, 0.03, 0.02, -0.01, 0], [0.0] * 8])
        directions = layer_norm(gates) / 8**0.5
        scores = layer_norm(u) @ directions.T
        torch.testing.assert_close(scores, torch.tensor([2.4033783, -2.0344688, -0.3149524, 0.0]), atol=1e-5, rtol=0)
        strategy = Strategy(5)
        weights = strategy("layer", u, directions, [0, 1, 2, 4])
        torch.testing.assert_close(weights, torch.tensor([0.9170846, 0.0, 0.0, 0.0829154]), atol=1e-5, rtol=0)
        # An expert that is not on the layer has no weight there, and the others keep their numbers.
        torch.testing.assert_close(strategy.weights["layer"], torch.tensor([0.9170846, 0.0, 0.0, 0.0, 0.0829154]), atol=1e-5, rtol=0)


if __name__ == "__main__":
    unittest.main()
