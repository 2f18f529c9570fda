//! The record of one attachment: who was asked to attach, with what, and what they answered.
