package media

import "github.com/prometheus/client_golang/prometheus"

// uploadResult is what became of an upload.
type uploadResult uint8

const (
	uploadStored   uploadResult = iota
	uploadRefused               // what the client sent cannot be taken
	uploadTooLarge              // over the limit of a file
	uploadCut                   // the body ended early or came too slowly
	uploadBusy                  // no place, or the store cannot take it now
	uploadFailed                // our fault
	uploadResults
)

// String is the result as a label.
func (r uploadResult) String() string {
	return [...]string{"stored", "refused", "too_large", "cut", "busy", "failed"}[r]
}

// thumbResult is what became of the thumbnail of a picture.
type thumbResult uint8

const (
	thumbMade       thumbResult = iota
	thumbTooLarge               // sides, pixels or memory out of bounds
	thumbUnreadable             // no picture that our decoders read
	thumbBusy                   // no share of the decoders' memory in time
	thumbFailed                 // the store failed
	thumbResults
)

// String is the result as a label.
func (r thumbResult) String() string {
	return [...]string{"made", "too_large", "unreadable", "busy", "failed"}[r]
}

// Metrics are the service's counters.
type Metrics struct {
	uploads   [uploadResults]prometheus.Counter
	thumbs    [thumbResults]prometheus.Counter
	bytes     prometheus.Counter
	uploading prometheus.Gauge
	downloads prometheus.Counter
	badLinks  prometheus.Counter
	deleted   prometheus.Counter
	orphans   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &Metrics{
		bytes:     counter("tolkflip_media_stored_bytes_total", "Bytes of files that were taken."),
		downloads: counter("tolkflip_media_downloads_total", "Files, thumbnails and ranges of them that were sent by this process."),
		badLinks:  counter("tolkflip_media_bad_links_total", "Requests with a link that was expired or not ours."),
		deleted:   counter("tolkflip_media_deleted_total", "Files that were deleted."),
		orphans:   counter("tolkflip_media_orphans_total", "Files that could not be removed from the store with their record."),
		uploading: prometheus.NewGauge(prometheus.GaugeOpts{Name: "tolkflip_media_uploading", Help: "Uploads under way."}),
	}
	uploads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tolkflip_media_uploads_total", Help: "Uploads, by what became of them.",
	}, []string{"result"})
	for r := range uploadResults {
		m.uploads[r] = uploads.WithLabelValues(r.String())
	}
	thumbs := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tolkflip_media_thumbnails_total", Help: "Thumbnails of pictures, by what became of them.",
	}, []string{"result"})
	for r := range thumbResults {
		m.thumbs[r] = thumbs.WithLabelValues(r.String())
	}
	reg.MustRegister(uploads, thumbs, m.bytes, m.uploading, m.downloads, m.badLinks, m.deleted, m.orphans)
	return m
}
