//! A token goes to the one host it is for, and stays out of everything that lasts.

mod canary;
mod hosts;
mod refused;
mod surroundings;
mod tls;
