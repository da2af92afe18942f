// Package pebble keeps everything in one embedded Pebble store: the default of a server.
package pebble
