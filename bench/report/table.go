package report

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Table is a title, a head and rows; the first column is text, the others are figures.
type Table struct {
	Title string
	Head  []string
	Rows  [][]string
	Notes []string
}

func (t *Table) append(b *strings.Builder) {
	if t.Title != "" {
		fmt.Fprintf(b, "%s\n", t.Title)
	}
	widths := make([]int, len(t.Head))
	rows := append([][]string{t.Head}, t.Rows...)
	for _, row := range rows {
		for i, cell := range row[:min(len(row), len(widths))] {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		b.WriteString(" ")
		for i, cell := range row[:min(len(row), len(widths))] {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString(" " + cell + pad)
			} else {
				b.WriteString("  " + pad + cell)
			}
		}
		b.WriteByte('\n')
	}
	for _, n := range t.Notes {
		fmt.Fprintf(b, "  %s\n", n)
	}
}

// Number writes a figure with the digits that it deserves: three significant ones, thousands apart.
func Number(v float64) string {
	switch a := max(v, -v); {
	case a == 0:
		return "0"
	case a < 1:
		return fmt.Sprintf("%.3f", v)
	case a < 10:
		return fmt.Sprintf("%.2f", v)
	case a < 100:
		return fmt.Sprintf("%.1f", v)
	default:
		return Count(int64(v + 0.5))
	}
}

// Count writes a whole number with its thousands apart.
func Count(v int64) string {
	s := fmt.Sprint(v)
	sign := ""
	if v < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Percent writes a part of one.
func Percent(v float64) string { return fmt.Sprintf("%.1f %%", v*100) }
