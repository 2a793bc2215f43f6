"""Faults that a loss may have on a GPU, each planted in beta-VAE's: what the examination must report."""

import torch

from disbench.models.betavae import BetaVAE


class Planted(BetaVAE):
    """beta-VAE with one more term in its loss."""

    def loss(self, x, noise, step):
        return {**super().loss(x, noise, step), "planted": self.planted(x, noise, step)}


class NoFault(Planted):
    def planted(self, x, noise, step):
        return x.mean()


class TensorOfTheHost(Planted):
    def planted(self, x, noise, step):
        return (x.flatten(1).sum(1) * torch.ones(len(x))).mean()


class NumberOfTheHost(Planted):
    """torch allows it; in a recorded graph it would never change."""

    def planted(self, x, noise, step):
        return x.mean() * torch.tensor(2.0)


class StepRead(Planted):
    def planted(self, x, noise, step):
        return x.mean() * float(step)


class ToTheHostAndBack(Planted):
    def planted(self, x, noise, step):
        return x.mean().cpu().to(x.device)


class UploadedConstant(Planted):
    def planted(self, x, noise, step):
        return (x.mean() * torch.tensor([2.0], device=x.device)).sum()


class Mask(Planted):
    def planted(self, x, noise, step):
        return x[x > 0.5].mean()


class Distinct(Planted):
    def planted(self, x, noise, step):
        return x.unique().sum()


class WaitedUpload(Planted):
    def planted(self, x, noise, step):
        return (x.mean() * torch.ones(1).pin_memory().to(x.device)).sum()


class SecondUpload(Planted):
    def planted(self, x, noise, step):
        return (x.mean() * torch.ones(1).pin_memory().to(x.device, non_blocking=True)).sum()


class Synchronised(Planted):
    def planted(self, x, noise, step):
        torch.cuda.synchronize()
        return x.mean()


class TwoTypes(Planted):
    def planted(self, x, noise, step):
        return (x.flatten(1).bfloat16() @ x.flatten(1).T).float().mean()


class OtherGenerator(Planted):
    def planted(self, x, noise, step):
        return x.mean() * torch.rand((), generator=torch.Generator(), device=x.device)


class Twice(Planted):
    def planted(self, x, noise, step):
        return sum(BetaVAE.loss(self, x, noise, step).values())


ALL = {fault.__name__: fault for fault in Planted.__subclasses__()}
