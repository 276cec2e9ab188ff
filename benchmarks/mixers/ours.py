"""mixio: `MixtureDataset` of map-style data sets, `MixtureSampler`, a plain `DataLoader`; the variant is the window."""

from collections.abc import Sequence
from typing import Any

from torch.utils.data import DataLoader

from benchmarks.mixers.contract import Numbers, Run, Stream, integers, name, of_rank
from mixio.dataset import MixtureDataset
from mixio.mixture import Mixture
from mixio.sampler import MixtureSampler


def dataset(run: Run) -> MixtureDataset:
    """The data set of a run."""
    shares = {name(domain): weight for domain, weight in enumerate(run.weights)}
    mixture = Mixture(shares, seed=run.seed, window=int(run.variant))
    return MixtureDataset({name(domain): Numbers(domain, run.each) for domain in range(run.domains)}, mixture)


def sampler(run: Run, rank: int) -> MixtureSampler:
    """Of one rank."""
    options = {"num_samples": run.draws, "batch_size": run.batch}
    return MixtureSampler(dataset(run), **options, rank=rank, num_replicas=run.ranks)


class Ours:
    """A loader that counts what it has given."""

    def __init__(self, run: Run, rank: int, state: Any) -> None:
        self.sampler, self.step = sampler(run, rank), run.batch * run.ranks
        if state is not None:
            self.sampler.load_state_dict(state)
        loader = DataLoader(
            self.sampler.dataset,
            batch_size=run.batch,
            sampler=self.sampler,
            num_workers=run.workers,
            collate_fn=integers,
        )
        self.batches, self.consumed = iter(loader), self.sampler.start

    def __iter__(self) -> "Ours":
        return self

    def __next__(self) -> list[int]:
        self.consumed += self.step
        return next(self.batches)

    def state(self) -> Any:
        return self.sampler.state_dict(consumed=self.consumed)


def job(run: Run, states: Sequence[Any] | None = None) -> list[Stream]:
    """A loader a rank."""
    return [Ours(run, rank, of_rank(states, rank)) for rank in range(run.ranks)]


def state_at(run: Run, position: int) -> Any:
    """After so many draws."""
    return sampler(run, 0).state_dict(consumed=position)
