/**
 * Notifications: JupyterLab gathers them; here they are shown.
 */
import { Notification, ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { closeIcon } from '@jupyterlab/ui-components';
import React from 'react';

/** How long a notice stays (ms) that says nothing of it. */
const USUAL = 5000;

/** The notices that are there, in a corner of the page. */
export class Notices extends ReactWidget {
  constructor(readonly trans: TranslationBundle) {
    super();
    this.addClass('jp-desipipe-notices');
    Notification.manager.changed.connect((_, { type, notification }) => {
      if (type === 'added') {
        this._close(notification);
      }
      this.update();
    });
  }

  protected render(): JSX.Element {
    return (
      <>
        {Notification.manager.notifications.map(notice => (
          <Notice key={notice.id} notice={notice} trans={this.trans} />
        ))}
      </>
    );
  }

  private _close({ id, options }: Notification.INotification): void {
    const { autoClose = USUAL } = options;
    if (autoClose !== false) {
      setTimeout(() => Notification.dismiss(id), autoClose);
    }
  }
}

function Notice(props: {
  notice: Notification.INotification;
  trans: TranslationBundle;
}): JSX.Element {
  const { notice, trans } = props;
  const { id, message, type, options } = notice;
  const close = () => Notification.dismiss(id);
  return (
    <div
      className="jp-desipipe-notice"
      data-type={type}
      role={type === 'error' ? 'alert' : 'status'}
    >
      <span>{message}</span>
      {options.actions?.map(({ label, callback }) => (
        <button
          key={label}
          type="button"
          className="jp-desipipe-button"
          onClick={event => {
            callback(event.nativeEvent);
            close();
          }}
        >
          {label}
        </button>
      ))}
      <button
        type="button"
        className="jp-desipipe-icon"
        title={trans.__('Close')}
        aria-label={trans.__('Close')}
        onClick={close}
      >
        <closeIcon.react tag="span" height="16px" width="16px" />
      </button>
    </div>
  );
}
