package group

import (
	"context"
	"errors"
	"fmt"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

const maxPage = 1000 // rows of one answer and of one read of the store

func checkPage(limit, offset int) error {
	if limit < 0 {
		return proto.BadField("limit", "limit must not be negative")
	}
	if offset < 0 {
		return proto.BadField("offset", "offset must not be negative")
	}
	return nil
}

// clamp gives the default for a limit that was not given, and at most maxPage.
func clamp(limit, byDefault int) int {
	if limit == 0 {
		return byDefault
	}
	return min(limit, maxPage)
}

// page cuts skip and then left rows out of reads that follow each other.
type page struct{ skip, left int }

// want is how much to read next.
func (p *page) want() int {
	if p.skip >= maxPage {
		return maxPage
	}
	return min(p.skip+p.left, maxPage)
}

// take says which of n rows that were read are in the page.
func (p *page) take(n int) (lo, hi int) {
	lo = min(p.skip, n)
	hi = min(n, lo+p.left)
	p.skip -= lo
	p.left -= hi - lo
	return lo, hi
}

type (
	ofUserIn struct {
		User   id.User `path:"userId" missing:"User not found" json:"-"`
		Limit  int     `query:"limit" json:"-"`
		Offset int     `query:"offset" json:"-"`
	}
	ofUserOut struct {
		Groups []Row `json:"groups"`
		Count  int   `json:"count"`
	}
)

// Validate refuses pages that cannot be.
func (in *ofUserIn) Validate() error { return checkPage(in.Limit, in.Offset) }

// ofUser lists the caller's groups. One that is deleted between two reads is left out.
func (s *Service) ofUser(ctx context.Context, c httpapi.Caller, in ofUserIn) (ofUserOut, error) {
	if in.User != c.User {
		return ofUserOut{}, proto.Fail(proto.Forbidden, "Unauthorized")
	}
	p := page{skip: in.Offset, left: min(clamp(in.Limit, 50), 200)}
	out := ofUserOut{Groups: []Row{}}
	for after := (id.Thread{}); p.left > 0; {
		ids, err := s.members.GroupsOf(ctx, c.User, after, p.want())
		if err != nil {
			return ofUserOut{}, fmt.Errorf("read groups of a user: %w", err)
		}
		if len(ids) == 0 {
			break
		}
		after = ids[len(ids)-1]
		lo, hi := p.take(len(ids))
		for _, g := range ids[lo:hi] {
			switch grp, err := s.groups.Get(ctx, g); {
			case err == nil:
				out.Groups = append(out.Groups, rowOf(&grp))
			case !errors.Is(err, store.ErrNotFound):
				return ofUserOut{}, fmt.Errorf("read groups of a user: %w", err)
			}
		}
	}
	out.Count = len(out.Groups)
	return out, nil
}

// each walks over a group's members.
func (s *Service) each(ctx context.Context, g id.Thread, f func(*store.Member)) error {
	for after := (id.User{}); ; {
		ms, err := s.members.List(ctx, g, after, maxPage)
		if err != nil {
			return notFound(err, "", "Group not found")
		}
		if len(ms) == 0 {
			return nil
		}
		for i := range ms {
			f(&ms[i])
		}
		after = ms[len(ms)-1].User
	}
}
