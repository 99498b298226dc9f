//! Tests of the real and the simulated environment.

#[cfg(test)]
mod crash;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod tasks;
