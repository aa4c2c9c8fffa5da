//! A Worker and its one instance.

mod decide;
mod exit;
mod health;
mod slots;
mod start;
mod stop;
