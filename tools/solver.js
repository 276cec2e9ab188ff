// The mixture that laws promise the lowest mean loss for, solved in the page: what tools/solve.py does, in tools/portable.py's
// numbers.
//
// Minimize F(h) = sum of weight_i L_i(h) over shares h that sum to 1 and lie between `low` and `high`, by a primal-dual
// interior-point method with exact second derivatives: a dozen or two of Newton steps, each O(T K^2 + K^3) for T targets and
// K domains. F is convex for every form but one that is signed, so the answer is the only minimum.

"use strict";

const solver = (() => {
  const LEAST = 1e-6; // where a derivative is infinite at 0 draws, it is taken here, as in Python
  const STEPS = 100;
  const GAP = 1e-11; // of F, in units of how much its slopes differ

  // S of an amount and its first two derivatives: draws of a domain that repeats itself after `unique`.
  function distinct(amount, unique, rate) {
    if (unique === null || amount <= unique) return [amount, 1, 0];
    const kept = Math.exp(-rate * (amount / unique - 1));
    return [unique * (1 + (1 - kept) / rate), kept, (-rate / unique) * kept];
  }

  // A loss's inner sum u and, by the shares, its first and second derivatives.
  function inner(law, given, scale) {
    const slope = [], bend = [];
    let sum = law.start;
    given.forEach(([value, first, second], j) => {
      const weight = law.weights[j], p = law.exponents[j];
      const base = Math.max(value, LEAST);
      sum += weight * (p === 1 ? value : value > 0 ? value ** p : 0);
      const growth = p === 1 ? 1 : p * base ** (p - 1);
      const turn = p === 1 || value < LEAST ? 0 : p * (p - 1) * base ** (p - 2);
      slope.push(weight * growth * first * scale);
      bend.push(weight * (turn * first * first + growth * second) * scale * scale);
    });
    return { sum, slope, bend };
  }

  // Every target's loss, with `u`, and the outer function's derivatives by u.
  function losses(model, shares, budget) {
    const total = budget / model.unit;
    const scale = model.amounts === "draws" ? total : 1;
    const given = shares.map((share, j) => distinct(share * scale, model.unique[j], model.rate));
    return model.laws.map((law) => {
      const u = inner(law, given, scale);
      const height = law.scale + law.scaleTotal * total ** -law.scaleFall;
      const power = model.outer === "power";
      const sum = power ? Math.max(u.sum, model.least) : u.sum;
      const value = height * (power ? sum ** -law.fall : Math.exp(sum));
      return {
        ...u,
        loss: law.constant + value + law.total * total ** -law.totalFall,
        first: power ? (-law.fall * value) / sum : value,
        second: power ? (law.fall * (law.fall + 1) * value) / (sum * sum) : value,
      };
    });
  }

  // F, its gradient and its Hessian.
  function objective(model, shares, budget, weights) {
    const count = shares.length;
    const gradient = new Float64Array(count);
    const hessian = Array.from({ length: count }, () => new Float64Array(count));
    let value = 0;
    losses(model, shares, budget).forEach((one, i) => {
      value += weights[i] * one.loss;
      for (let j = 0; j < count; j++) {
        gradient[j] += weights[i] * one.first * one.slope[j];
        hessian[j][j] += weights[i] * one.first * one.bend[j];
        const row = weights[i] * one.second * one.slope[j];
        for (let k = 0; k < count; k++) hessian[j][k] += row * one.slope[k];
      }
    });
    return { value, gradient, hessian };
  }

  // The lower triangle L of a positive definite matrix, L L' = matrix; null if it is not one.
  function cholesky(matrix) {
    const lower = matrix.map((row) => Float64Array.from(row));
    for (let j = 0; j < lower.length; j++) {
      for (let i = j; i < lower.length; i++) {
        let sum = lower[i][j];
        for (let k = 0; k < j; k++) sum -= lower[i][k] * lower[j][k];
        if (i === j && !(sum > 0)) return null;
        lower[i][j] = i === j ? Math.sqrt(sum) : sum / lower[j][j];
      }
    }
    return lower;
  }

  function substitute(lower, right) {
    const x = Float64Array.from(right), count = x.length;
    for (let i = 0; i < count; i++) {
      for (let k = 0; k < i; k++) x[i] -= lower[i][k] * x[k];
      x[i] /= lower[i][i];
    }
    for (let i = count - 1; i >= 0; i--) {
      for (let k = i + 1; k < count; k++) x[i] -= lower[k][i] * x[k];
      x[i] /= lower[i][i];
    }
    return x;
  }

  // Solves matrix x = right, with a ridge that grows until the matrix is positive definite.
  function factor(matrix) {
    let ridge = 0;
    for (;;) {
      const lower = cholesky(matrix.map((row, i) => row.map((entry, k) => entry + (i === k ? ridge : 0))));
      if (lower) return (right) => substitute(lower, right);
      ridge = ridge ? 10 * ridge : 1e-12 * Math.max(...matrix.map((row, i) => Math.abs(row[i])), 1e-12);
    }
  }

  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const plus = (x, step, dx) => x.map((value, j) => value + step * dx[j]);

  // How far a point is from optimal: the conditions that are zero at the minimum with a barrier of `mu`.
  function off(at, box, mu) {
    const { gradient } = at.F;
    let square = 0;
    at.h.forEach((share, j) => {
      const dual = gradient[j] - at.z[j] + at.y[j] - at.nu;
      const below = (share - box.low[j]) * at.z[j] - mu;
      const above = box.high[j] === Infinity ? 0 : (box.high[j] - share) * at.y[j] - mu;
      square += dual * dual + below * below + above * above;
    });
    return Math.sqrt(square);
  }

  function newton(at, box, mu) {
    const a = at.h.map((share, j) => share - box.low[j]);
    const b = at.h.map((share, j) => box.high[j] - share);
    const matrix = at.F.hessian.map((row, j) => {
      const copy = Float64Array.from(row);
      copy[j] += at.z[j] / a[j] + at.y[j] / b[j];
      return copy;
    });
    const solveFor = factor(matrix);
    const capped = b.map((room) => (room === Infinity ? 0 : mu / room));
    const free = solveFor(a.map((room, j) => mu / room - capped[j] + at.nu - at.F.gradient[j]));
    const along = solveFor(a.map(() => 1));
    const dnu = -(sum(at.h) - 1 + sum(free)) / sum(along);
    const dh = a.map((_, j) => free[j] + dnu * along[j]);
    const dz = a.map((room, j) => mu / room - at.z[j] - (at.z[j] / room) * dh[j]);
    const dy = b.map((room, j) => capped[j] - at.y[j] + (at.y[j] / room) * dh[j]);
    return { dh, dz, dy, dnu, a, b };
  }

  // The longest step that keeps shares inside their bounds and multipliers positive.
  function longest({ dh, dz, dy, a, b }, at) {
    let step = 1;
    const limit = (value, change) => {
      if (change < 0) step = Math.min(step, (-0.99 * value) / change);
    };
    dh.forEach((change, j) => {
      limit(a[j], change);
      limit(b[j], -change);
      limit(at.z[j], dz[j]);
      limit(at.y[j], dy[j]);
    });
    return step;
  }

  function started(evaluate, box) {
    const spare = 1 - sum(box.low);
    const room = sum(box.high.map((high, j) => Math.min(high, 1) - box.low[j]));
    const h = box.low.map((low, j) => low + (Math.min(box.high[j], 1) - low) * (spare / room));
    const F = evaluate(h), mu = (0.1 * spare) / h.length;
    const z = h.map((share, j) => mu / (share - box.low[j]));
    const y = h.map((share, j) => (box.high[j] === Infinity ? 0 : mu / (box.high[j] - share)));
    const nu = sum(h.map((_, j) => F.gradient[j] - z[j] + y[j])) / h.length;
    return { h, z, y, nu, F };
  }

  function descend(evaluate, box) {
    let at = started(evaluate, box);
    const pairs = at.h.length + box.high.filter((high) => high !== Infinity).length;
    for (let n = 0; n < STEPS; n++) {
      const gap = sum(at.h.map((share, j) => (share - box.low[j]) * at.z[j]))
        + sum(at.h.map((share, j) => (box.high[j] === Infinity ? 0 : (box.high[j] - share) * at.y[j])));
      if (gap < GAP && off(at, box, gap / pairs) < 1e-9) break;
      const mu = (0.1 * gap) / pairs;
      const to = newton(at, box, mu), before = off(at, box, mu);
      let step = longest(to, at), next;
      do {
        const h = plus(at.h, step, to.dh);
        next = { h, z: plus(at.z, step, to.dz), y: plus(at.y, step, to.dy), nu: at.nu + step * to.dnu, F: evaluate(h) };
        step /= 2;
      } while (step > 1e-8 && !(off(next, box, mu) <= (1 - 0.02 * step) * before));
      if (!(off(next, box, mu) < Infinity)) break;
      at = next;
    }
    return at.h;
  }

  // Shares of the lowest objective for `budget` draws, none below `floor`; `model` has laws, weights and caps.
  function solve(model, budget, floor) {
    const count = model.domains.length;
    const low = Array(count).fill(floor);
    const high = model.caps.map((cap, j) => (cap === null || cap >= 1 ? Infinity : Math.max(cap, low[j] + 1e-9)));
    const total = (box) => sum(box.map((bound) => Math.min(bound, 1)));
    if (1 - total(low) < 1e-9) return low.map((share) => share / total(low));
    if (total(high) - 1 < 1e-9) return high.map((share) => Math.min(share, 1) / total(high));
    const plain = (shares) => objective(model, shares, budget, model.weights);
    const even = plain(Array(count).fill(1 / count));
    const unit = Math.max(Math.max(...even.gradient) - Math.min(...even.gradient), 1e-9 * Math.abs(even.value));
    const shares = descend((h) => {
      const F = plain(h);
      return { gradient: F.gradient.map((x) => x / unit), hessian: F.hessian.map((row) => row.map((x) => x / unit)) };
    }, { low, high });
    const whole = sum(shares);
    return shares.map((share) => share / whole);
  }

  const predict = (model, shares, budget) => losses(model, shares, budget).map((one) => one.loss);

  const mean = (model, shares, budget) => sum(predict(model, shares, budget).map((loss, i) => loss * model.weights[i]));

  return { solve, predict, mean };
})();
