// Hand-written streaming loops for affine kernels: every entry of the matrix is written once, in order, by loops that the compiler
// vectorizes; borders go through places found before.
//
//   streaming chain|stencil|brusselator|convolution|write N [threads]
//
// prints {"median_ms": .., "f": ..}; `write` stores N doubles.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

using std::size_t;
typedef double *__restrict__ Out;
typedef const double *__restrict__ In;

static double now() {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Value, gradient and tridiagonal Hessian of sum (x[i+1] - x[i])^3.
static double chain_rows(In x, Out g, Out h, size_t lo, size_t hi) {
    double e = 0;
#pragma omp simd reduction(+ : e)
    for (size_t i = lo; i < hi; i++) {
        double a = x[i] - x[i - 1], b = x[i + 1] - x[i];
        e += a * a * a;
        g[i] = 3 * (a * a - b * b);
        double *row = h + 3 * i - 1;
        row[0] = -6 * a;
        row[1] = 6 * (a + b);
        row[2] = -6 * b;
    }
    return e;
}

static double chain(In x, size_t n, Out g, Out h, int threads) {
    double a = x[1] - x[0], b = x[n - 1] - x[n - 2], e = b * b * b;
    h[0] = 6 * a, h[1] = -6 * a, g[0] = -3 * a * a;
    h[3 * n - 4] = -6 * b, h[3 * n - 3] = 6 * b, g[n - 1] = 3 * b * b;
    if (threads == 1) return e + chain_rows(x, g, h, 1, n - 1);
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : e)
    for (int t = 0; t < threads; t++)
        e += chain_rows(x, g, h, 1 + (n - 2) * t / threads, 1 + (n - 2) * (t + 1) / threads);
    return e;
}

// The order by columns of the entries of a cell on the border of a ring of rings.
template <size_t K> static std::array<unsigned char, K> order(std::array<size_t, K> cols) {
    std::array<unsigned char, K> place{};
    for (size_t k = 0; k < K; k++)
        for (size_t l = 0; l < K; l++) place[k] += cols[l] < cols[k];
    return place;
}

struct Cell {
    size_t at, up, down, left, right;
    std::array<unsigned char, 5> place;
};

static std::vector<Cell> borders(size_t n) {
    std::vector<Cell> cells;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            if (i > 0 && i + 1 < n && j > 0 && j + 1 < n) continue;
            size_t up = (i + n - 1) % n * n + j, down = (i + 1) % n * n + j;
            size_t left = i * n + (j + n - 1) % n, right = i * n + (j + 1) % n, at = i * n + j;
            cells.push_back({at, up, down, left, right, order<5>({up, left, at, right, down})});
        }
    return cells;
}

// Results and Jacobian of u_up + u_down + u_left + u_right - 4 u + u^3.
static void stencil_rows(In u, size_t n, Out r, Out h, size_t lo, size_t hi) {
    for (size_t i = lo; i < hi; i++)
#pragma omp simd
        for (size_t j = 1; j < n - 1; j++) {
            size_t k = i * n + j;
            double x = u[k];
            r[k] = u[k - n] + u[k + n] + u[k - 1] + u[k + 1] - 4 * x + x * x * x;
            double *row = h + 5 * k;
            row[0] = 1, row[1] = 1, row[2] = 3 * x * x - 4, row[3] = 1, row[4] = 1;
        }
}

static void stencil(In u, size_t n, Out r, Out h, const std::vector<Cell> &cells, int threads) {
    for (const Cell &c : cells) {
        double x = u[c.at];
        r[c.at] = u[c.up] + u[c.down] + u[c.left] + u[c.right] - 4 * x + x * x * x;
        const double row[5] = {1, 1, 3 * x * x - 4, 1, 1};
        for (int k = 0; k < 5; k++) h[5 * c.at + c.place[k]] = row[k];
    }
    if (threads == 1) return stencil_rows(u, n, r, h, 1, n - 1);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int t = 0; t < threads; t++)
        stencil_rows(u, n, r, h, 1 + (n - 2) * t / threads, 1 + (n - 2) * (t + 1) / threads);
}

// Results and Jacobian of the Brusselator; rows of u, then of v.
static const double A = 3.4, B = 1;

static void brusselator_rows(In u, In v, In s, size_t n, double c, Out ru, Out rv, Out hu, Out hv, size_t lo, size_t hi) {
    for (size_t i = lo; i < hi; i++)
#pragma omp simd
        for (size_t j = 1; j < n - 1; j++) {
            size_t k = i * n + j;
            double x = u[k], y = v[k], xx = x * x, xy = 2 * x * y;
            ru[k] = B + xx * y - (A + 1) * x + c * (u[k - n] + u[k + n] + u[k - 1] + u[k + 1] - 4 * x) + s[k];
            rv[k] = A * x - xx * y + c * (v[k - n] + v[k + n] + v[k - 1] + v[k + 1] - 4 * y);
            double *p = hu + 6 * k, *q = hv + 6 * k;
            p[0] = c, p[1] = c, p[2] = xy - (A + 1) - 4 * c, p[3] = c, p[4] = c, p[5] = xx;
            q[0] = A - xy, q[1] = c, q[2] = c, q[3] = -xx - 4 * c, q[4] = c, q[5] = c;
        }
}

static void brusselator(In u, In v, In s, size_t n, Out ru, Out rv, Out hu, Out hv, const std::vector<Cell> &cells, int threads) {
    double c = 10.0 * double(n) * double(n);
    for (const Cell &k : cells) {
        double x = u[k.at], y = v[k.at], xx = x * x, xy = 2 * x * y;
        ru[k.at] = B + xx * y - (A + 1) * x + c * (u[k.up] + u[k.down] + u[k.left] + u[k.right] - 4 * x) + s[k.at];
        rv[k.at] = A * x - xx * y + c * (v[k.up] + v[k.down] + v[k.left] + v[k.right] - 4 * y);
        double *p = hu + 6 * k.at, *q = hv + 6 * k.at;
        const double a[5] = {c, c, xy - (A + 1) - 4 * c, c, c}, b[5] = {c, c, -xx - 4 * c, c, c};
        for (int l = 0; l < 5; l++) p[k.place[l]] = a[l], q[1 + k.place[l]] = b[l];
        p[5] = xx, q[0] = A - xy;
    }
    if (threads == 1) return brusselator_rows(u, v, s, n, c, ru, rv, hu, hv, 1, n - 1);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int t = 0; t < threads; t++)
        brusselator_rows(u, v, s, n, c, ru, rv, hu, hv, 1 + (n - 2) * t / threads, 1 + (n - 2) * (t + 1) / threads);
}

// Results and Jacobian of a convolution by 5 x 5 weights.
static void convolution(In x, In w, size_t n, Out r, Out h) {
    size_t m = n - 4;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < m; j++) {
            double sum = 0;
            for (size_t a = 0; a < 5; a++)
                for (size_t b = 0; b < 5; b++) sum += w[5 * a + b] * x[(i + a) * n + j + b];
            r[i * m + j] = sum;
            std::memcpy(h + 25 * (i * m + j), w, 25 * sizeof(double));
        }
}

int main(int argc, char **argv) {
    std::string kind = argc > 1 ? argv[1] : "chain";
    size_t n = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1000;
    int threads = argc > 3 ? std::atoi(argv[3]) : 1;
    bool grid = kind == "stencil" || kind == "brusselator";
    size_t points = grid || kind == "convolution" ? n * n : n;
    std::vector<double> x(points), y(points), s(points, 0.5), r(points), q(points), w(25, 0.3);
    for (size_t i = 0; i < points; i++)
        x[i] = kind == "chain" ? double(i) + 0.3 * std::sin(1.7 * double(i)) : std::sin(0.37 * double(i)), y[i] = std::cos(0.37 * double(i));
    size_t width = kind == "chain" ? 3 : kind == "stencil" ? 5 : kind == "brusselator" ? 6 : kind == "write" ? 1 : 25;
    std::vector<double> h(width * points), k(kind == "brusselator" ? width * points : 0);
    std::vector<Cell> cells;
    if (grid) cells = borders(n);
    double f = 0;
    auto once = [&](double round) {
        if (kind == "chain") f = chain(x.data(), n, r.data(), h.data(), threads);
        else if (kind == "stencil") stencil(x.data(), n, r.data(), h.data(), cells, threads);
        else if (kind == "brusselator")
            brusselator(x.data(), y.data(), s.data(), n, r.data(), q.data(), h.data(), k.data(), cells, threads);
        else if (kind == "convolution") convolution(x.data(), w.data(), n, r.data(), h.data());
        else {
#pragma omp parallel for num_threads(threads) schedule(static)
            for (int t = 0; t < threads; t++)
                std::fill(h.begin() + n * t / threads, h.begin() + n * (t + 1) / threads, round);
        }
    };
    once(0);
    std::vector<double> times;
    double begin = now();
    while (times.size() < 5 || (now() - begin < 60 && times.size() < 20000)) {
        double start = now();
        once(double(times.size()));
        asm volatile("" : : "r"(h.data()), "r"(k.data()), "r"(r.data()) : "memory");
        times.push_back(now() - start);
    }
    std::sort(times.begin(), times.end());
    std::printf("{\"median_ms\": %.6f, \"f\": %.17g}\n", times[times.size() / 2], f + h[h.size() / 2]);
}
