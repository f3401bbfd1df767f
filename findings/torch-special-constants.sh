#!/usr/bin/env bash
# Some functions of torch.special return tensors without a history, and their part of a gradient is lost.
#
# Seen with PyTorch 2.13.0 (CPU): Bessel and Airy functions and the orthogonal polynomials are marked as not
# differentiable, although they are smooth. Used alone, backward() says that there is no graph; as a part of a larger
# expression they count as constants, with no error and no warning. The derivative of x + J0(x) comes out as 1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --index-url https://download.pytorch.org/whl/cpu --extra-index-url https://pypi.org/simple torch==2.13.0
cd "$work"
"$work/venv/bin/python" -W ignore - <<'EOF'
import torch

special = torch.special
h = 1e-6
one = ("bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "airy_ai", "modified_bessel_i0", "modified_bessel_i1",
       "modified_bessel_k0", "modified_bessel_k1", "scaled_modified_bessel_k0", "scaled_modified_bessel_k1",
       "spherical_bessel_j0")
two = [name for name in dir(special) if "_polynomial_" in name]
for name in (*one, *two):
    f = getattr(special, name)
    g = f if name in one else (lambda x, f=f: f(x, 3))
    x = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    found = torch.autograd.grad(x + g(x), x)[0].item()
    difference = 1.0 + ((g(x + h) - g(x - h)) / (2 * h)).item()
    print(f"x + {name}(x): autograd {found}, differences {difference:.6f}")
    assert found == 1.0 and abs(difference - 1.0) > 1e-3, "has changed"
EOF
