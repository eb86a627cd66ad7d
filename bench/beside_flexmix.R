# What bench/beside_flexmix.py asks of R. bench/real_data.py puts the table, its features and the models before it.

# The data sets that R's packages carry, each as a CSV file whose last column is the response; those of packages that
# are not installed are left out.
write_textbook_data <- function(folder) {
  from <- function(package, name) {
    if (!requireNamespace(package, quietly = TRUE)) return(NULL)
    found <- new.env()
    data(list = name, package = package, envir = found)
    as.data.frame(lapply(found[[name]], function(column) as.numeric(as.character(column))))
  }
  keep <- function(name, table, features, response) {
    if (is.null(table)) return(invisible())
    table <- setNames(table[c(features, response)], c(features, "response"))
    write.csv(table, file.path(folder, paste0(name, ".csv")), row.names = FALSE)
  }
  preg <- from("flexmix", "NPreg")
  if (!is.null(preg)) preg$x2 <- preg$x^2
  keep("NPreg", preg, c("x", "x2"), "yn")
  keep("NregFix", from("flexmix", "NregFix"), c("x1", "x2", "w"), "y")
  keep("NOdata", from("mixtools", "NOdata"), "NO", "Equivalence")
  keep("CO2data", from("mixtools", "CO2data"), "GNP", "CO2")
  keep("tonedata", from("mixtools", "tonedata"), "stretchratio", "tuned")
  keep("mcycle", from("MASS", "mcycle"), "times", "accel")
  keep("geyser", from("MASS", "geyser"), "waiting", "duration")
  keep("faithful", from("datasets", "faithful"), "eruptions", "waiting")
  keep("quakes", from("datasets", "quakes"), c("lat", "long", "depth", "mag"), "stations")
  boston <- from("MASS", "Boston")
  keep("Boston", boston, setdiff(names(boston), "medv"), "medv")
}

versions <- function() {
  cat(R.version.string)
  for (package in c("flexmix", "mixtools", "MASS")) {
    if (requireNamespace(package, quietly = TRUE)) cat(",", package, format(packageVersion(package)))
  }
}

# Log-likelihood of mixtools from the parameters of refit: regmixEM for constant gates, hmeEM for two experts and one
# feature, NA elsewhere or where it fails. Both divide the variance by n.
mixtools_likelihood <- function(data, features, k, gates, values) {
  d <- length(features)
  experts <- matrix(values[seq_len(k * (d + 2))], d + 2)
  free <- values[-seq_len(k * (d + 2))]
  start <- list(y = data$response, x = as.matrix(data[features]), beta = experts[seq_len(d + 1), , drop = FALSE],
                sigma = exp(experts[d + 2, ]), k = k, epsilon = 1e-10, maxit = 1000)
  constant <- is(gates, "FLXP") && !is(gates, "FLXPmultinom")
  if (!requireNamespace("mixtools", quietly = TRUE) || nrow(data) > 2000 || !all(is.finite(values))) return(NA)
  if (!constant && (k > 2 || d > 1)) return(NA)
  fit <- if (constant) mixtools::regmixEM else mixtools::hmeEM
  start <- c(start, if (constant) list(lambda = exp(c(0, free)) / sum(exp(c(0, free)))) else list(w = -free))
  found <- NULL
  set.seed(1)  # a failed step starts afresh
  capture.output(suppressWarnings(found <- tryCatch(do.call(fit, start), error = function(e) NULL)))
  if (is.null(found)) NA else found$loglik
}

# EM of flexmix from the responsibilities in the columns cluster_..., and refit() from there. Prints
#   the log-likelihood that EM reports, that of its parameters, its iterations, the log-likelihood of refit, what a
#   Newton step would still gain there, and the log-likelihood of mixtools;
#   the parameters of EM; those of refit; their standard errors, and those of refit as it is, NaN where it fails.
# Parameters: of each component the intercept, the coefficients and log sigma; then of each gate but the first the
# intercept and the coefficients. flexmix's EM divides its variance by n - p; refit maximises the likelihood itself.
# It differentiates by steps of 0.001 in the units of the data, and its criterion is loose, hence the second call in
# units of standard errors; where that fails, since a gate has no finite estimate, the first stands.
same_optimum <- function(data, features, k, model, gates) {
  options(digits = 15)
  line <- function(values) cat(ifelse(is.finite(values), values, NaN), "\n")
  m <- flexmix(reformulate(features, "response"), data = data, k = k, model = model, concomitant = gates,
               cluster = as.matrix(data[grep("^cluster_", names(data))]),
               control = list(iter.max = 5000, minprior = 0, tolerance = 1e-10))
  parameters <- flexmix:::FLXgetParameters(m)
  likelihood <- flexmix:::FLXlogLikfun(m)
  gradient <- flexmix:::FLXgradlogLikfun(m)
  refitted <- function(...) {
    found <- tryCatch(refit(m, method = "optim", optim_control = list(...)), error = function(e) NULL)
    if (is.null(found)) list(values = NA * parameters, errors = NA * parameters, covariance = NA)
    else list(values = found@coef, errors = suppressWarnings(sqrt(diag(found@vcov))), covariance = found@vcov)
  }
  found <- first <- refitted()
  if (all(is.finite(found$errors))) {
    exact <- refitted(maxit = 5000, reltol = 1e-15, parscale = found$errors, ndeps = found$errors / 1000)
    if (all(is.finite(exact$errors))) found <- exact
  }
  gain <- reached <- NA
  if (all(is.finite(found$values))) {
    slope <- gradient(found$values)
    reached <- likelihood(found$values)
    gain <- sum(slope * (found$covariance %*% slope)) / 2
  }
  line(c(logLik(m), likelihood(parameters), m@iter, reached, gain,
         mixtools_likelihood(data, features, k, gates, found$values)))
  line(parameters)
  line(found$values)
  line(found$errors)
  line(first$errors)
}
