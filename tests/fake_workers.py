"""A user's file of small networks, one of which gets its worker killed in the middle of a data set."""

NETWORKS = '''
import os, signal, threading
from pathlib import Path
import torch
from torch import nn

PID = Path(__file__).with_name("pid")


class Toy(nn.Module):
    scales = (2, 4)

    def __init__(self, scale=4):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 3 * scale**2, 1)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x):
        return self.shuffle(self.conv(x))


class Other(Toy):
    pass


class Broken(Toy):
    def forward(self, x):
        raise RuntimeError("planted")


class Victim(Toy):
    """Tells its process at the first image and waits at the second, until that process is killed."""

    def forward(self, x):
        if not PID.exists():
            PID.write_text(str(os.getpid()))
        elif PID.read_text() == str(os.getpid()):
            threading.Event().wait()
        return super().forward(x)


class Deadly(Toy):
    def forward(self, x):
        os.kill(os.getpid(), signal.SIGKILL)
'''
