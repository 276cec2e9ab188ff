"""A classifier on the encoder: the mean over its tokens, then a linear layer or a perceptron.

The encoder lies under `vit.`, so that `load_encoder` puts pretrained weights there. There is no class token: the
encoder of `models.mae` has none, and the mean over tokens is what He et al. (arXiv 2111.06377) offer instead of it.
"""

from torch import Tensor, nn

from models.vit import ViT, ViTConfig


class Classifier(nn.Module):
    """Images `(B, C, X, Y, Z)` to scores before the softmax, `(B, classes)`.

    With `hidden` the head has one hidden layer of that width, without it is linear. A `frozen` encoder gets no
    gradients, so that training fits the head alone: a probe. Raises `ValueError` for fewer than two classes.
    """

    def __init__(self, config: ViTConfig, *, classes: int, hidden: int = 0, frozen: bool = False) -> None:
        super().__init__()
        if classes < 2:
            raise ValueError(f"a classifier tells at least 2 classes apart, got {classes}")
        if hidden < 0:
            raise ValueError(f"hidden must be at least 0, got {hidden}")
        self.vit = ViT(config).requires_grad_(not frozen)
        width = config.hidden_size
        if hidden:
            self.head: nn.Module = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, classes))
        else:
            self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        tokens, _ = self.vit(images)  # (B, N, E)
        return self.head(tokens.mean(1))
