// Package blob keeps files: on disk (OpenDisk), or in a bucket of an S3 server (OpenS3, ParseURL). Both are
// a store.Blobs.
package blob
