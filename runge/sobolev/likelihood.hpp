// The weights of the channels in the loss of `runge.sobolev.likelihood`; part of `kernel.cpp`.

namespace {

// Write the weights of a member's channels, (P, 1 + D), from its errors: nu_c / (2 MSE_c), or 0 where nothing is left to
// fit, and where lambda_d is 0, so that no errors of derivatives are computed. `channels` is its scratch space.
void weigh(const Stack& net, Index m, Real* of_channel) {
    const Index all = net.outputs * (1 + net.dimension);
    std::vector<double> known(all);
    double count = 0;
    for (Index i = 0; i < net.points; ++i) {
        const Index point = m * net.all + (net.batch ? net.batch[m * net.points + i] : i);
        for (Index p = 0; p < net.outputs; ++p) {
            const Index k = point * net.outputs + p, channel = p * (1 + net.dimension);
            known[channel] += net.weight_f[k] > 0;
            for (Index d = 0; d < net.dimension; ++d)
                known[channel + 1 + d] += net.weight_df[k * net.dimension + d] > 0;
        }
    }
    for (const double one : known) count += one;
    const double mean = std::max(1.0, count / double(all));
    Real *errors = net.channels + m * net.slices * all, *weights = of_channel + m * all;
    add_up(errors, net.slices, all);
    for (Index c = 0; c < all; ++c) {
        const double nu = known[c] / mean, mse = errors[c];
        weights[c] = nu == 0 || mse == 0 ? Real(0) : Real(nu / (2 * mse));
    }
}

}  // namespace
